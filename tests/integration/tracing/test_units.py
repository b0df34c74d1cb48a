"""From the request that placed an order to the message that makes it run: what of its trace travels on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from backend.bootstrap import utc_now
from backend.domain.work import TRACES_MAX, Dispatch
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.tracing import CURRENT, TraceContext
from backend.services import sweeper
from tests.integration.workers import Worker, unit
from tests.market import Market


@contextmanager
def request(number: int) -> Iterator[str]:
    """A request of a trace of its own; its `traceparent`."""
    context = TraceContext(f"{number:032x}", f"{number:016x}")
    token = CURRENT.set(context)
    yield context.header
    CURRENT.reset(token)


def test_a_unit_remembers_the_requests_of_its_orders(market: Market) -> None:
    market.node("a", slots=100)
    market.executor()
    with request(1) as first:
        market.place(3)
    with request(2) as second:
        market.place(2)
    market.place(1)
    market.clear()
    [message] = market.dispatched()
    assert set(message.traces) == {first, second}
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE units SET resend_at = now() - interval '1 s'")
    sweeper.sweep(market.app.uow(), utc_now())
    [again] = market.dispatched()
    assert again.traces == message.traces  # also when it is sent again


def test_of_many_requests_a_unit_remembers_some(market: Market) -> None:
    market.node("a", slots=100)
    market.executor()
    for number in range(1, TRACES_MAX + 5):
        with request(number):
            market.place(1)
    market.clear()
    assert [len(message.traces) for message in market.dispatched()] == [TRACES_MAX]


def test_a_message_goes_on_with_the_one_trace_of_its_unit_and_else_with_the_units_own(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    bound: list[dict[str, Any]] = []
    worker = start_worker(redis_url, queue, lambda _: bound.append(structlog.contextvars.get_contextvars()))
    plain = unit(queue)
    theirs = [TraceContext(f"{number:032x}", f"{number:016x}").header for number in (1, 2)]
    of_one = Dispatch(unit(queue).unit_id, queue, plain.priority, (theirs[0],))
    of_two = Dispatch(unit(queue).unit_id, queue, plain.priority, tuple(theirs))
    dispatcher = Dispatcher(redis_url)
    for message in (of_one, of_two):
        dispatcher.send([message])
        assert worker.runs(message)
    dispatcher.close()
    assert worker.until(lambda: len(bound) == 2)
    assert [context["trace_id"] for context in bound] == [f"{1:032x}", of_two.unit_id.hex]
