"""The loop that all agents share, as its beat tells of it."""

import threading
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from agents.base import Agent, Identity, Pace
from backend.domain.events import Topic
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.messaging.memory_bus import MemoryBus
from tests.waiting import PATIENCE_S, until


class Registry:
    """Knows everybody."""

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        return BeatAnswer(False)

    def stopped(self, agent_id: AgentId) -> None:
        pass


class Worker(Agent):
    """Ticks as it is let."""

    name: ClassVar[str] = "pricing"
    channels: ClassVar[tuple[Topic, ...]] = ()
    period_s: ClassVar[float] = 0.01

    def __init__(self) -> None:
        super().__init__(Identity(AgentId(UUID(int=1)), "p", "host", 1), Registry(), MemoryBus())
        self.go = threading.Event()
        self.go.set()
        self.failing = False

    def tick(self, now: datetime) -> Pace:
        self.go.wait(PATIENCE_S)
        if self.failing:
            raise ValueError("no")
        return Pace.REST


def running(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=lambda: worker._work(worker._bus.subscribe(())), daemon=True)
    thread.start()
    return thread


def test_ticks_are_work_done_and_a_tick_that_hangs_is_told_by_its_age() -> None:
    worker = Worker()
    thread = running(worker)
    until(lambda: worker.beat().work_done > 3, "it ticks")
    worker.go.clear()
    until(lambda: (worker.beat().tick_age_ms or 0) > 200, "it hangs, and says so")
    done = worker.beat().work_done
    worker.go.set()
    until(lambda: worker.beat().work_done > done, "it goes on")
    until(lambda: (worker.beat().tick_age_ms or 0) < 200, "a tick has ended since")
    worker.drain()
    thread.join(PATIENCE_S)
    assert worker.beat().tick_age_ms == 0, "one that drains has no loop to hang"


def test_a_tick_that_fails_has_turned_all_the_same() -> None:
    worker = Worker()
    worker.failing = True
    thread = running(worker)
    until(lambda: worker.beat().work_done >= 2, "it tries again")
    worker.drain()
    thread.join(PATIENCE_S)
