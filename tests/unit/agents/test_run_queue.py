"""Runs of models on one machine: who begins, beside whom, and what a thread that brings work of its own waits for."""

import threading
from time import monotonic

import pytest

from agents.inference import run_queue
from agents.inference.run_queue import RunQueue
from backend.domain.tiers import TierName
from backend.domain.urgency import RANKS, Urgency, urgency, urgency_of_items
from tests.waiting import PATIENCE_S, until

SMALL, MEDIUM, LARGE, ENTERPRISE = TierName


class Model:
    """Pieces of these tiers, all of which came at the same time; those that began, in order, are in `begun`."""

    def __init__(
        self, begun: list[str], name: str, *tiers: TierName, again: bool = False, broken: bool = False
    ) -> None:
        self.name = name
        self.tiers = list(tiers)
        self._begun = begun
        self._again = again
        self._broken = broken

    def urgency(self) -> Urgency | None:
        return min((urgency(tier, 0.0) for tier in self.tiers), default=None)

    def begin(self) -> int | None:
        if self._broken or not self.tiers:
            return None
        tier = min(self.tiers, key=RANKS.__getitem__)
        self.tiers.remove(tier)
        self._begun.append(self.name)
        return RANKS[tier]

    def again(self) -> bool:
        return self._again


def test_of_what_waits_the_most_urgent_begins_when_there_is_room() -> None:
    begun: list[str] = []
    queue = RunQueue(1, spare=0)
    first, small, enterprise = (
        Model(begun, name, tier) for name, tier in (("first", SMALL), ("small", SMALL), ("enterprise", ENTERPRISE))
    )
    for model in (first, small, enterprise):
        queue.ask(model)
    assert begun == ["first"]
    queue.end(first)
    assert begun == ["first", "enterprise"]
    queue.end(enterprise)
    assert begun == ["first", "enterprise", "small"]
    assert queue.is_running(small)
    queue.end(small)
    assert not queue.is_running(small)


def test_what_goes_before_all_that_runs_does_not_wait_for_any_of_it() -> None:
    begun: list[str] = []
    queue = RunQueue(2)
    small = Model(begun, "small", SMALL, SMALL, SMALL, again=True)
    queue.ask(small)
    assert begun == ["small", "small"], "a model of which something runs gets no more than the cores"
    assert queue.outranks_all(0)
    queue.ask(Model(begun, "enterprise", ENTERPRISE))
    assert begun == ["small", "small", "enterprise"]
    assert not queue.outranks_all(0)
    queue.ask(Model(begun, "large", LARGE))
    assert begun[3:] == [], "the last one is kept for what goes before everything"


def test_a_model_of_which_nothing_runs_does_not_wait_for_a_slow_one() -> None:
    begun: list[str] = []
    queue = RunQueue(2)
    slow = Model(begun, "slow", SMALL, SMALL, SMALL, again=True)
    queue.ask(slow)
    queue.ask(Model(begun, "quick", SMALL))
    assert begun == ["slow", "slow", "quick"]


def test_what_may_not_begin_keeps_nothing_else_from_it() -> None:
    begun: list[str] = []
    queue = RunQueue(1)
    both = Model(begun, "both", MEDIUM, MEDIUM)
    queue.ask(both)
    queue.ask(both)  # more urgent than what comes next, and nothing beside its own run
    queue.ask(Model(begun, "other", SMALL))
    assert begun == ["both", "other"]


def test_what_nobody_waits_for_any_more_and_what_cannot_begin_is_forgotten() -> None:
    begun: list[str] = []
    queue = RunQueue(1, spare=0)
    queue.ask(Model(begun, "gone"))
    queue.ask(first := Model(begun, "first", SMALL))
    for model in (leaving := Model(begun, "leaving", ENTERPRISE), Model(begun, "broken", LARGE, broken=True)):
        queue.ask(model)
    queue.ask(Model(begun, "here", SMALL))
    leaving.tiers.clear()
    queue.end(first)
    assert begun == ["first", "here"]
    assert not queue._ready


def test_work_from_the_queues_waits_for_room_and_goes_on_when_its_turn_comes() -> None:
    begun: list[str] = []
    queue = RunQueue(1)
    model = Model(begun, "model", SMALL)
    queue.ask(model)

    def bring() -> None:
        with queue.room(urgency_of_items(monotonic(), 0.0)):
            begun.append("items")

    thread = threading.Thread(target=bring)
    thread.start()
    until(lambda: bool(queue._ready), "it waits")
    assert begun == ["model"]
    queue.end(model)
    thread.join(PATIENCE_S)
    assert begun == ["model", "items"]
    with queue.room(urgency_of_items(monotonic(), 0.0)):
        pass  # it gave its room back


def test_runs_that_never_end_do_not_stop_the_work_from_the_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "HELD_UP_S_MAX", 0.01)
    queue = RunQueue(1)
    hanging = Model([], "hanging", SMALL)
    queue.ask(hanging)
    for _ in range(2):
        with queue.room(urgency_of_items(monotonic(), 0.0)):
            assert not queue._ready, "nothing is left behind"
    assert queue.is_running(hanging)


def test_a_machine_runs_as_many_at_once_as_it_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(3)))
    assert RunQueue(spare=0).most == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert RunQueue(spare=0).most == run_queue.RUNS_MAX
