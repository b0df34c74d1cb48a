"""The server of a node that nobody dials: what it fetches is answered, whatever happens, and it ends when told."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.engines.onnx import OnnxEngine
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.polled_server import PolledServer
from agents.model_cache import ModelCache
from backend.domain.mail import MailedAnswer, MailedRequest
from tests.waiting import until

GRACE_S = 0.2


class Coordinator:
    """Hands requests out, keeps answers, and can be away; `asked` is how many places there were, each time."""

    def __init__(self) -> None:
        self.requests: deque[MailedRequest] = deque()
        self.answers: dict[str, MailedAnswer] = {}
        self.asked: list[int] = []
        self.away = threading.Event()
        self.closed = False

    def open(self) -> None:
        self.closed = False

    async def fetch(self, places: int) -> list[MailedRequest]:
        self.asked.append(places)
        while not self.requests:
            if self.away.is_set():
                raise OSError("away")
            await asyncio.sleep(0.01)
        return [self.requests.popleft() for _ in range(min(places, len(self.requests)))]

    async def answer(self, answers: list[MailedAnswer]) -> None:
        self.answers |= {one.id: one for one in answers}

    async def close(self) -> None:
        self.closed = True

    def models(self) -> list[object]:
        return []


@contextmanager
def serving(coordinator: Coordinator, folder: Path, places: int = 4) -> Iterator[PolledServer]:
    """A server without any model."""
    models = LoadedModels(ModelCache(folder, coordinator), OnnxEngine())  # type: ignore[arg-type]  # no file is fetched
    catalogue = Catalogue(coordinator)  # type: ignore[arg-type]  # no work is claimed
    server = PolledServer(catalogue, models, coordinator, places)
    server.start()
    try:
        yield server
    finally:
        server.stop(GRACE_S)
    assert not server._thread.is_alive()
    assert coordinator.closed


def request(number: int, path: str = "/v2/models/none/infer", left_ms: int = 60_000) -> MailedRequest:
    return MailedRequest(f"{number:032}", path, None, left_ms, b"{}", None)


def answered(coordinator: Coordinator, *requests: MailedRequest) -> list[tuple[int, str]]:
    """Statuses and errors of the answers to these."""
    coordinator.requests.extend(requests)
    until(lambda: all(one.id in coordinator.answers for one in requests), "all are answered")
    found = [coordinator.answers[one.id] for one in requests]
    return [(one.status, json.loads(one.body).get("error", "")) for one in found]


def test_what_the_protocol_server_refuses_is_an_answer(tmp_path: Path) -> None:
    coordinator = Coordinator()
    with serving(coordinator, tmp_path):
        told = answered(coordinator, *(request(number) for number in range(20)))
    assert {status for status, _ in told} == {404}
    assert "none" in told[0][1]
    assert max(coordinator.asked) == 4, "never more than there are places for"


def test_other_paths_than_those_of_the_protocol_lead_nowhere(tmp_path: Path) -> None:
    coordinator = Coordinator()
    with serving(coordinator, tmp_path):
        [(status, _)] = answered(coordinator, request(1, "/v2/models/../../x"))
    assert status == 404


def test_a_coordinator_that_is_away_is_asked_again(tmp_path: Path) -> None:
    coordinator = Coordinator()
    coordinator.away.set()
    with serving(coordinator, tmp_path):
        until(lambda: len(coordinator.asked) > 1, "it was asked twice")
        coordinator.away.clear()
        assert answered(coordinator, request(1))[0][0] == 404


def test_while_it_drains_what_comes_is_refused_so_that_it_may_run_elsewhere(tmp_path: Path) -> None:
    coordinator = Coordinator()
    with serving(coordinator, tmp_path) as server:
        answered(coordinator, request(1))
        server.drain()
        [(status, _)] = answered(coordinator, request(2))
    assert status == 503


def test_a_server_that_was_never_started_stops(tmp_path: Path) -> None:
    coordinator = Coordinator()
    models = LoadedModels(ModelCache(tmp_path, coordinator), OnnxEngine())  # type: ignore[arg-type]  # as above
    server = PolledServer(Catalogue(coordinator), models, coordinator)  # type: ignore[arg-type]  # as above
    server.drain()
    server.stop(GRACE_S)
    assert (server.endpoint, server.token) == (None, None)
