"""A node's machine that requests of several tiers and work from the queues share: over the wire, and over the port."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from agents.inference import held_model
from agents.inference.run_queue import RunQueue
from agents.inference.runner import UnitRunner
from backend.domain.tiers import TierName
from backend.domain.urgency import TIER_HEADER, Urgency, urgency
from backend.domain.work import ModelRef
from tests.integration.agents.conftest import Node
from tests.integration.agents.test_oip_server import INFER, Served
from tests.market import Market
from tests.onnx_files import request
from tests.waiting import PATIENCE_S, until

PLACES = 8


class Hog:
    """A model that never stops asking for room; `runs` is how often it got any."""

    def __init__(self, queue: RunQueue) -> None:
        self.runs = 0
        self._queue = queue

    def urgency(self) -> Urgency:
        return urgency(TierName.ENTERPRISE, monotonic())

    def begin(self) -> int:
        self.runs += 1
        threading.Thread(target=self._over).start()
        return 0

    def again(self) -> bool:
        return True

    def _over(self) -> None:
        self._queue.end(self)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Served]:
    """A server that runs one request at a time, each by itself."""
    served = Served(tmp_path, in_flight_max=PLACES, threads=1)
    assert served.infer(request((1.0, 2.0))).status_code == 200
    yield served
    served.client.close()
    served.server.stop()


def test_the_tier_that_a_gateway_names_decides_who_goes_first(narrow: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_model, "BATCH_ROWS_MAX", 1)
    steps, begun, get = threading.Semaphore(0), threading.Semaphore(0), narrow.models.get
    answered: list[str] = []

    def get_step_by_step(model: ModelRef) -> object:
        begun.release()
        assert steps.acquire(timeout=PATIENCE_S)
        return get(model)

    monkeypatch.setattr(narrow.models, "get", get_step_by_step)

    def ask(word: str) -> None:
        headers = {TIER_HEADER: word}
        assert narrow.client.post(INFER, json=request((1.0, 2.0)), headers=headers).status_code == 200
        answered.append(word)

    with ThreadPoolExecutor(PLACES) as pool:
        app = narrow.server._app
        assert app is not None
        asked = [pool.submit(ask, "enterprise")]
        assert begun.acquire(timeout=PATIENCE_S)
        for waiting, word in enumerate(("small", "what later gateways may say", "large", "enterprise"), start=2):
            asked.append(pool.submit(ask, word))
            until(lambda waiting=waiting: app.admission.in_flight == waiting, f"{word} waits")  # type: ignore[misc]  # of this turn
        for count in range(1, len(asked) + 1):
            steps.release()
            until(lambda count=count: len(answered) == count, "it is answered")  # type: ignore[misc]  # as above
    assert answered == ["enterprise", "enterprise", "large", "what later gateways may say", "small"]


def test_work_from_the_queues_waits_for_the_requests_that_run(market: Market, node: Node) -> None:
    market.node("a")
    market.place()
    market.clear()
    [dispatch] = market.dispatched()
    queue = RunQueue(1, spare=0)
    runner = UnitRunner(node.port, node.models, node.claims, queue)
    with ThreadPoolExecutor(1) as pool, queue.room(Urgency(0.0, 0)):
        running = pool.submit(runner.run, dispatch.unit_id)
        until(lambda: bool(queue._ready), "it waits for room")
        assert runner.done == 0
    assert running.result(PATIENCE_S).committed == 1


def test_work_from_the_queues_goes_on_whatever_is_asked_of_the_machine(market: Market, node: Node) -> None:
    market.node("a", slots=8)
    market.place(count=8)
    market.clear()
    queue = RunQueue(1, spare=0)
    runner = UnitRunner(node.port, node.models, node.claims, queue)
    hog = Hog(queue)
    queue.ask(hog)
    committed = sum(runner.run(dispatch.unit_id).committed for dispatch in market.dispatched())
    assert committed == 8
    assert hog.runs > 1
    queue._ready.clear()
