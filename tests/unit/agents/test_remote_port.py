"""The remote port against servers that misbehave: bounded in time and number, and never believed blindly."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest

from agents import remote_port
from agents.remote_port import ATTEMPTS_MAX, KeyRefused, Refused, RemoteWorkPort
from backend.domain.errors import Unavailable
from backend.domain.ids import AgentId, ItemId, UnitId
from backend.domain.joining import MESSAGE_BYTES_MAX, MESSAGE_ITEMS_MAX
from backend.domain.work import PAYLOAD_BYTES_MAX, AgentBeat, ItemFailure, ItemResult
from tests.waiting import FOREVER_S

AGENT = AgentId(UUID(int=1))
UNIT = UnitId(UUID(int=2))
ITEM = ItemId(UUID(int=3))
BEAT = AgentBeat(AGENT, "inference", "n", "h", 1)


class Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, *_: object) -> None:
        """Nothing."""


class Coordinator:
    """Answers with what the test put down: status and body, or nothing for a connection that is cut."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | None] = []
        self.asked: list[tuple[str, Any, str | None]] = []
        self.may_answer = Event()
        self.may_answer.set()
        coordinator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.removeprefix("/api/v1/node")
                coordinator.asked.append((path, json.loads(body or b"null"), self.headers["Authorization"]))
                coordinator.may_answer.wait(FOREVER_S)
                answer = coordinator.answers.pop(0) if coordinator.answers else (200, b'{"items": []}')
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    coordinator = Coordinator()
    yield coordinator
    coordinator.close()


@pytest.fixture
def refusals() -> list[bool]:
    return []


@pytest.fixture
def port(coordinator: Coordinator, refusals: list[bool], monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteWorkPort]:
    monkeypatch.setattr(remote_port, "delay_s", lambda *_: 0.0)
    port = RemoteWorkPort(coordinator.url, "swn_key", AGENT, lambda: refusals.append(True))
    yield port
    port.close()


def refusal(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "no", "field": "f", "accepted": "a"}}).encode()


def test_every_message_has_version_agent_and_key(coordinator: Coordinator, port: RemoteWorkPort) -> None:
    port.commit([ItemResult(ITEM, 4, 5, b"{}")])
    [(path, body, key)] = coordinator.asked
    assert (path, key) == ("/work/commit", "Bearer swn_key")
    assert body == {
        "version": 1,
        "agent": str(AGENT),
        "results": [{"item": str(ITEM), "fence": 4, "busy_us": 5, "outputs": "e30="}],
    }


@pytest.mark.parametrize("passing", [None, (503, refusal("coordinator_unreachable")), (502, b"<html>"), (429, b"")])
def test_what_passes_is_tried_again(
    coordinator: Coordinator, port: RemoteWorkPort, passing: tuple[int, bytes] | None
) -> None:
    coordinator.answers = [passing, (200, json.dumps({"items": [str(ITEM)]}).encode())]
    assert port.fail([ItemFailure(ITEM, 1, "x\0y")]) == {ITEM}
    assert [body["failures"][0]["error"] for _, body, _ in coordinator.asked] == ["xy", "xy"]


def test_what_lasts_is_given_up_after_a_few_attempts(coordinator: Coordinator, port: RemoteWorkPort) -> None:
    coordinator.answers = [(503, refusal("coordinator_unreachable"))] * 10
    with pytest.raises(Refused) as refused:
        port.claim(UNIT)
    assert (refused.value.code, len(coordinator.asked)) == ("coordinator_unreachable", ATTEMPTS_MAX)


@pytest.mark.parametrize("call", ["beat", "stopped", "extend", "poll"])
def test_what_is_repeated_anyway_is_tried_once(coordinator: Coordinator, port: RemoteWorkPort, call: str) -> None:
    coordinator.answers = [None] * 5
    calls: dict[str, Callable[[], object]] = {
        "beat": lambda: port.beat(BEAT),
        "stopped": lambda: port.stopped(AGENT),
        "extend": lambda: port.extend([(ITEM, 1)]),
        "poll": lambda: port.poll(0.0),
    }
    with pytest.raises(Unavailable) as away:
        calls[call]()
    assert (away.value.code, len(coordinator.asked)) == ("api_unreachable", 1)


def test_a_beat_waits_for_less_than_other_calls_and_does_not_outwait_a_coordinator_that_hangs(
    coordinator: Coordinator, port: RemoteWorkPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remote_port.BEAT_TIMEOUT_S < remote_port.CALL_TIMEOUT_S
    monkeypatch.setattr(remote_port, "BEAT_TIMEOUT_S", 0.1)
    coordinator.may_answer.clear()
    with pytest.raises(Unavailable):
        port.beat(BEAT)
    assert not coordinator.may_answer.is_set()


def test_a_refusal_is_not_tried_again(coordinator: Coordinator, port: RemoteWorkPort, refusals: list[bool]) -> None:
    coordinator.answers = [(404, refusal("unknown_agent"))]
    with pytest.raises(Refused) as refused:
        port.claim(UNIT)
    assert (refused.value.code, refused.value.field, refused.value.status) == ("unknown_agent", "f", 404)
    assert (len(coordinator.asked), refusals) == (1, [])


def test_a_revoked_key_is_told_to_the_agent(
    coordinator: Coordinator, port: RemoteWorkPort, refusals: list[bool], tmp_path: Path
) -> None:
    coordinator.answers = [(401, refusal("unauthenticated"))] * 2
    with pytest.raises(KeyRefused):
        port.beat(BEAT)
    with pytest.raises(KeyRefused):
        port.get_file("m", tmp_path / "m")
    assert refusals == [True, True]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"null", b"{}", b"not json", b'{"items": 7}', b'{"items": [7]}', b'{"items": ["x"]}']
)
def test_an_answer_that_cannot_be_read_is_no_answer(
    coordinator: Coordinator, port: RemoteWorkPort, answer: bytes
) -> None:
    coordinator.answers = [(200, answer)] * ATTEMPTS_MAX
    with pytest.raises(Unavailable):
        port.release([(ITEM, 1)])


@pytest.mark.parametrize(
    "item", [{}, {"id": "x"}, {"id": str(ITEM), "fence": 1, "attempt": 1, "node": str(ITEM), "rows": 1, "model": "m"}]
)
def test_a_claim_that_cannot_be_read_is_no_claim(
    coordinator: Coordinator, port: RemoteWorkPort, item: dict[str, object]
) -> None:
    coordinator.answers = [(200, json.dumps({"items": [item], "models": []}).encode())]
    with pytest.raises(Unavailable) as corrupt:
        port.claim(UNIT)
    assert corrupt.value.code == "corrupt_answer"


def test_what_one_message_cannot_carry_travels_in_several(coordinator: Coordinator, port: RemoteWorkPort) -> None:
    port.commit([ItemResult(ITEM, 1, 1, b"1" * PAYLOAD_BYTES_MAX)] * 9)
    sizes = [len(body["results"]) for _, body, _ in coordinator.asked]
    assert sizes == [MESSAGE_BYTES_MAX // PAYLOAD_BYTES_MAX] * 2 + [1]
    coordinator.asked.clear()
    port.extend([(ITEM, 1)] * (MESSAGE_ITEMS_MAX + 1))
    assert [len(body["held"]) for _, body, _ in coordinator.asked] == [MESSAGE_ITEMS_MAX, 1]


def test_a_file_that_is_cut_off_is_fetched_again_and_a_missing_one_is_told(
    coordinator: Coordinator, port: RemoteWorkPort, tmp_path: Path
) -> None:
    coordinator.answers = [None, (200, b"model")]
    port.get_file("m", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == b"model"
    coordinator.answers = [(404, refusal("unknown_model"))]
    with pytest.raises(FileNotFoundError):
        port.get_file("m", tmp_path / "m")


def test_a_file_above_every_limit_is_not_read_to_its_end(
    coordinator: Coordinator, port: RemoteWorkPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_port, "MODEL_BYTES_MAX", 1_000)
    coordinator.answers = [(200, b"1" * 10_000_000)]
    port.get_file("m", tmp_path / "m")
    assert 1_000 < (tmp_path / "m").stat().st_size < 10_000_000
