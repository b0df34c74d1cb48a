"""Weights and updates on their way over HTTP: whole or not at all, tried again where that helps, and bounded."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from agents import remote_port
from agents.remote_port import ATTEMPTS_MAX, TRANSFER_ATTEMPTS_MAX, Refused, RemoteWorkPort
from backend.domain.errors import Unavailable
from backend.domain.ids import AgentId, ItemId, ModelId, NodeId
from backend.domain.tensors import Signature
from backend.domain.work import ClaimedItem, ModelRef

AGENT = AgentId(UUID(int=1))
MODEL = ModelRef(ModelId(UUID(int=2)), "trainer.x", 1, "0" * 64, "trainers/x", Signature((), ()))
ITEM = ClaimedItem(ItemId(UUID(int=3)), 7, 1, NodeId(UUID(int=4)), 1, b"{}", MODEL)
KEY = "the/direct/ports/business"
LARGE = bytes(range(256)) * 20_000  # more than a socket holds


class Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, *_: object) -> None:
        """Nothing."""


class Coordinator:
    """Answers with what the test put down: a status and a body, or None to hang up."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | None] = []
        self.asked: list[tuple[str, str, dict[str, list[str]], bytes]] = []
        coordinator = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                assert "Transfer-Encoding" not in self.headers
                url = urlsplit(self.path)
                coordinator.asked.append((self.command, url.path, parse_qs(url.query), body))
                answer = coordinator.answers.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            do_GET = do_PUT

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    coordinator = Coordinator()
    yield coordinator
    coordinator.close()


@pytest.fixture
def port(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteWorkPort]:
    monkeypatch.setattr(remote_port, "delay_s", lambda *_: 0.0)
    port = RemoteWorkPort(coordinator.url, "swn_key", AGENT)
    yield port
    port.close()


@pytest.fixture
def update(tmp_path: Path) -> Path:
    path = tmp_path / "update"
    path.write_bytes(LARGE)
    return path


def refusal(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "no", "field": "f", "accepted": "a"}}).encode()


def test_an_update_arrives_whole_and_says_by_which_claim(
    coordinator: Coordinator, port: RemoteWorkPort, update: Path
) -> None:
    coordinator.answers = [(204, b"")]
    port.put_update(ITEM, KEY, update)
    path = f"/api/v1/node/work/items/{ITEM.item_id}/update"
    assert coordinator.asked == [("PUT", path, {"agent": [str(AGENT)], "fence": ["7"]}, LARGE)]


@pytest.mark.parametrize("passing", [None, (503, refusal("temporary_disk_full")), (502, b"<html>")])
def test_an_update_that_did_not_get_through_is_sent_again_from_its_beginning(
    coordinator: Coordinator, port: RemoteWorkPort, update: Path, passing: tuple[int, bytes] | None
) -> None:
    coordinator.answers = [passing, (204, b"")]
    port.put_update(ITEM, KEY, update)
    assert [body for *_, body in coordinator.asked] == [LARGE, LARGE]


def test_an_update_that_never_gets_through_is_given_up_after_a_few_attempts(
    coordinator: Coordinator, port: RemoteWorkPort, update: Path
) -> None:
    coordinator.answers = [None] * 10
    with pytest.raises(Unavailable):
        port.put_update(ITEM, KEY, update)
    assert len(coordinator.asked) == ATTEMPTS_MAX


def test_an_update_that_finds_no_room_waits_for_longer_than_a_call_and_not_for_ever(
    coordinator: Coordinator, port: RemoteWorkPort, update: Path
) -> None:
    full: tuple[int, bytes] | None = (503, refusal("temporary_disk_full"))
    coordinator.answers = [full] * (TRANSFER_ATTEMPTS_MAX - 1) + [(204, b"")]
    port.put_update(ITEM, KEY, update)
    assert len(coordinator.asked) == TRANSFER_ATTEMPTS_MAX > ATTEMPTS_MAX
    coordinator.answers = [full] * 20
    with pytest.raises(Refused) as refused:
        port.put_update(ITEM, KEY, update)
    assert (refused.value.code, len(coordinator.asked)) == ("temporary_disk_full", 2 * TRANSFER_ATTEMPTS_MAX)


def test_an_update_that_is_refused_is_not_sent_again(
    coordinator: Coordinator, port: RemoteWorkPort, update: Path
) -> None:
    coordinator.answers = [(409, refusal("item_not_held"))]
    with pytest.raises(Refused) as refused:
        port.put_update(ITEM, KEY, update)
    assert (refused.value.status, refused.value.code, len(coordinator.asked)) == (409, "item_not_held", 1)


def test_weights_are_written_as_they_come(coordinator: Coordinator, port: RemoteWorkPort, tmp_path: Path) -> None:
    coordinator.answers = [None, (200, LARGE)]
    port.get_weights(ITEM, KEY, tmp_path / "weights")
    assert (tmp_path / "weights").read_bytes() == LARGE
    method, path, query, _ = coordinator.asked[-1]
    assert (method, path) == ("GET", f"/api/v1/node/work/items/{ITEM.item_id}/weights")
    assert query == {"agent": [str(AGENT)], "fence": ["7"]}


def test_weights_that_are_gone_are_told_from_an_item_that_is_lost(
    coordinator: Coordinator, port: RemoteWorkPort, tmp_path: Path
) -> None:
    coordinator.answers = [(404, refusal("unknown_weights")), (404, refusal("unknown_item"))]
    with pytest.raises(FileNotFoundError):
        port.get_weights(ITEM, KEY, tmp_path / "weights")
    with pytest.raises(Refused) as refused:
        port.get_weights(ITEM, KEY, tmp_path / "weights")
    assert (refused.value.code, len(coordinator.asked)) == ("unknown_item", 2)


def test_weights_above_every_limit_are_not_read_to_their_end(
    coordinator: Coordinator, port: RemoteWorkPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_port, "UPDATE_BYTES_MAX", 1_000)
    coordinator.answers = [(200, LARGE * 2)]
    port.get_weights(ITEM, KEY, tmp_path / "weights")
    assert 1_000 < (tmp_path / "weights").stat().st_size < len(LARGE * 2)
