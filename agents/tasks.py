"""Celery task bodies: they translate a message into a call; what all of them share is in their base."""

import time
from collections.abc import Callable
from random import random
from typing import Any, ClassVar, Protocol
from uuid import UUID

import structlog
from celery import Celery, Task

from agents.inference.runner import NotBegun
from agents.task_metrics import TaskMetrics
from backend.domain.backoff import delay_s
from backend.domain.ids import UnitId
from backend.messaging.queues import RUN_UNIT, TRACE_HEADER
from backend.messaging.spans import Kind, entry
from backend.messaging.tracing import TraceContext

ATTEMPTS_MAX = 4  # about half a second in all; after that the sweeper sends the unit again, perhaps elsewhere
DONE, EMPTY, UNKNOWN, FAILED = "done", "empty", "unknown", "failed"

log = structlog.get_logger(__name__)


class SwarmTask(Task):  # type: ignore[misc]  # Celery leaves it untyped
    """Measures a task, repeats it while nothing has begun, and binds its trace to every log line.

    A body raises one of `retry_for` if it may be repeated at once. It is never repeated by a new message: one with a
    delay waits in the worker's hands, and the broker would deliver it again meanwhile.
    """

    abstract = True
    metrics: ClassVar[TaskMetrics]
    retry_for: ClassVar[tuple[type[Exception], ...]] = ()

    def __call__(self, *args: Any) -> str:
        """Run the body, which returns its outcome in one word."""
        started, outcome = time.monotonic(), FAILED
        queue = str((self.request.delivery_info or {}).get("routing_key"))
        named = {
            "messaging.system": "celery",
            "messaging.destination.name": queue,
            "messaging.message.id": self.request.id,
        }
        with entry(self.name, Kind.CONSUMER, self.sender(), otherwise=self.own_trace(), **named) as span:
            assert span.context is not None
            with structlog.contextvars.bound_contextvars(trace_id=span.context.trace_id, span_id=span.context.span_id):
                try:
                    outcome = self._patiently(args)
                finally:
                    span.set(swarmex__outcome=outcome)
                    self.metrics.ended(self.name, outcome, time.monotonic() - started)
        return outcome

    def sender(self) -> TraceContext | None:
        """The span of whoever sent the message; None if its header says nothing."""
        return TraceContext.parse(self.request.get(TRACE_HEADER))

    def own_trace(self) -> TraceContext:
        """The trace of the message's unit; a new one if its id is damaged, which is nobody's loss."""
        try:
            return TraceContext.of_unit(UUID(self.request.id))
        except ValueError:
            return TraceContext.begin()

    def _patiently(self, args: tuple[Any, ...]) -> str:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return str(self.run(*args))
            except self.retry_for as error:
                self.metrics.retried(self.name)
                log.warning("task.retried", task=self.name, attempt=attempt, error=repr(error))
                time.sleep(delay_s(attempt, random()))
        return str(self.run(*args))


class Claimed(Protocol):
    """What running a unit gave."""

    @property
    def claimed(self) -> int:
        """How many items were claimed."""
        ...


class Unknown(Protocol):
    """Who is told of units that gave nothing."""

    def unknown(self, queue: str, unit_id: UnitId) -> bool:
        """Whether there is no such unit, which is then recorded."""
        ...


def register_run_unit(app: Celery, run: Callable[[UnitId], Claimed], letters: Unknown, metrics: TaskMetrics) -> None:
    """Make `run` the body of the task that runs a unit, measured by `metrics`."""

    def run_unit(self: SwarmTask, unit_id: str) -> str:
        unit = UnitId(UUID(unit_id))
        if run(unit).claimed:
            return DONE
        queue = str(self.request.delivery_info.get("routing_key"))
        return UNKNOWN if letters.unknown(queue, unit) else EMPTY

    # Celery would share it with every application of the process, and a second one would get the first one's.
    app.task(name=RUN_UNIT, shared=False, bind=True, base=SwarmTask, metrics=metrics, retry_for=(NotBegun,))(run_unit)
