"""Publishes units of work to Celery queues. It carries ids only; what they mean is in the database."""

from collections.abc import Sequence
from threading import Lock

from kombu.connection import Connection
from kombu.exceptions import KombuError

from backend.domain.errors import Unavailable
from backend.domain.work import Dispatch
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.celery_app import celery_app
from backend.messaging.queues import MESSAGE_VERSION, RUN_UNIT, TRACE_HEADER, VERSION_HEADER
from backend.messaging.spans import LINKS_MAX, Kind, Span, entry
from backend.messaging.tracing import TraceContext, joined

PIPELINE_MAX = 500  # messages that travel to Redis in one round trip
BREAKER_POLICY = BreakerPolicy(fail_max=3, recovery_s=1.0)  # a send to a Redis that hangs costs seconds
ATTEMPTS_MAX = 2  # the second on a fresh connection: the first often finds one that died while idle


class Dispatcher:
    """Sends dispatches over one connection; safe to share between threads, which then take turns."""

    def __init__(self, redis_url: str, breaker: Breaker | None = None) -> None:
        self._app = celery_app(redis_url)
        self._breaker = breaker or Breaker("queues", BREAKER_POLICY)
        self._turn = Lock()
        self._connection: Connection | None = None

    def send(self, units: Sequence[Dispatch]) -> None:
        """Publish one message per unit, in order; at least once.

        Raises Unavailable when the broker does not answer: some may have been sent by then, and sending all
        of them again does no harm, since a unit is claimed only once.
        """
        if not units:
            return
        with self._turn:
            try:
                self._breaker.call(self._attempt, units)
            except (KombuError, OSError, BreakerOpen) as error:
                raise Unavailable("the queues do not answer", code="queues_unavailable") from error

    def _attempt(self, units: Sequence[Dispatch]) -> None:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return self._publish(units)
            except (KombuError, OSError):
                self._disconnect()
                if attempt == ATTEMPTS_MAX:
                    raise

    def _publish(self, units: Sequence[Dispatch]) -> None:
        if self._connection is None:
            # At once or not at all: left to itself it waits for two seconds, with `_turn` held, and tries again.
            self._connection = self._app.connection_for_write().ensure_connection(max_retries=0)
        producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        with producer.batch(max_size=PIPELINE_MAX):
            for unit in units:
                # Nothing is declared: a direct exchange without a name is a plain push to the queue's key.
                # A declared one routes through bindings kept in Redis, which FLUSHALL removes unnoticed.
                with _span(unit) as span:
                    assert span.context is not None
                    self._app.send_task(
                        RUN_UNIT,
                        args=[str(unit.unit_id)],
                        task_id=str(unit.unit_id),
                        queue=unit.queue,
                        priority=unit.priority,
                        headers={VERSION_HEADER: MESSAGE_VERSION, TRACE_HEADER: span.context.header},
                        ignore_result=True,
                        declare=[],
                        retry=False,
                        producer=producer,
                    )

    def close(self) -> None:
        """Drop the connection; the next `send` opens a new one."""
        with self._turn:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()  # type: ignore[no-untyped-call]  # typed in part


def _span(unit: Dispatch) -> Span:
    """What a message is sent in: the trace of its one cause, or one of its own that is linked to all of them."""
    parent, links = joined(unit.traces, LINKS_MAX)
    return entry(
        "unit.send",
        Kind.PRODUCER,
        parent,
        links,
        TraceContext.of_unit(unit.unit_id),
        messaging__system="celery",
        messaging__destination__name=unit.queue,
        messaging__message__id=str(unit.unit_id),
    )
