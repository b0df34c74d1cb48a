"""A consumer of units in a test's own hands."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from agents.burials import Burials
from agents.task_metrics import TaskMetrics
from agents.tasks import register_run_unit
from backend.domain.dead_letters import DeadMessage
from backend.domain.ids import AgentId, UnitId
from backend.domain.work import Dispatch
from backend.messaging.celery_app import celery_app
from backend.messaging.consumer import UnitConsumer
from backend.messaging.queues import Priority
from tests.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Ran:
    """What running a unit gave."""

    claimed: int


class Buried:
    """Keeps what it is given; every unit is known to it but for those in `unknown`."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, DeadMessage]] = []
        self.unknown: set[UnitId] = set()

    def bury(self, agent_id: AgentId, queue: str, message: DeadMessage) -> bool:
        """Record it."""
        assert agent_id.version
        if message.unit_id is not None and message.unit_id not in self.unknown:
            return False
        self.messages.append((queue, message))
        return True


class Worker:
    """A consumer that notes the units that it ran, each of which gave one item unless `run` says otherwise."""

    def __init__(
        self,
        redis_url: str,
        queue: str,
        run: Callable[[UnitId], object] | None = None,
        *,
        shared: tuple[str, ...] = (),
    ) -> None:
        self.ran: list[UnitId] = []
        self.metrics = TaskMetrics()
        self.buried = Buried()
        self._run = run
        burials = Burials(self.buried, AgentId(uuid4()), self.metrics)
        self.app = celery_app(redis_url, burials.refuse)
        register_run_unit(self.app, self._note, burials, self.metrics)
        self.consumer = UnitConsumer(self.app, queue, "worker@test", shared=shared)
        self.consumer.start()

    def _note(self, unit_id: UnitId) -> Ran:
        self.ran.append(unit_id)
        given = self._run(unit_id) if self._run is not None else None
        return given if isinstance(given, Ran) else Ran(1)

    def wait_for(self, count: int, timeout_s: float = PATIENCE_S) -> list[UnitId]:
        """The units that ran, once there are `count`, or after the time-out."""
        self.until(lambda: len(self.ran) >= count, timeout_s)
        return self.ran

    def runs(self, unit: Dispatch) -> bool:
        """Whether the unit runs in time; others may come again when Redis was away before they were acknowledged."""
        return self.until(lambda: unit.unit_id in self.ran)

    def until(self, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Whether something comes to hold in time."""
        deadline = time.monotonic() + timeout_s
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.01)
        return holds()

    def stop(self) -> bool:
        """Whether it stopped in time."""
        self.consumer.stop()
        return self.consumer.join(PATIENCE_S)


def unit(queue: str, priority: int = Priority.NORMAL) -> Dispatch:
    """A message of a unit that is not in any database."""
    return Dispatch(UnitId(uuid4()), queue, priority)
