"""The base of tasks on a real Redis: figures by outcome, repetition before anything has begun, traces in the log."""

from collections.abc import Callable
from typing import Any

import structlog

from agents import tasks
from agents.inference.runner import NotBegun
from backend.domain.fleet import AgentKind
from backend.domain.ids import UnitId
from backend.messaging.celery_app import celery_app
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queues import MESSAGE_VERSION, RUN_UNIT, VERSION_HEADER, kind_queue
from tests.integration.workers import Ran, Worker, unit


def send(redis_url: str, *units: Any) -> None:
    dispatcher = Dispatcher(redis_url)
    dispatcher.send(units)
    dispatcher.close()


def ended(worker: Worker, outcome: str) -> float:
    return worker.metrics.value("swarmex_task_seconds_count", task=RUN_UNIT, outcome=outcome)


def test_tasks_are_counted_and_timed_by_outcome(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    done, empty, unknown, failing = (unit(queue) for _ in range(4))

    def run(unit_id: UnitId) -> Ran:
        if unit_id == failing.unit_id:
            raise RuntimeError("no")
        return Ran(1 if unit_id == done.unit_id else 0)

    worker = start_worker(redis_url, queue, run)
    worker.buried.unknown.add(unknown.unit_id)
    send(redis_url, done, empty, unknown, failing)
    outcomes = ("done", "empty", "unknown", "failed")
    assert worker.until(lambda: all(ended(worker, outcome) == 1 for outcome in outcomes))
    text = worker.metrics.text().decode()
    assert 'swarmex_task_seconds_bucket{le="0.1",outcome="done",task="swarmex.run_unit"} 1.0' in text


def test_a_claim_that_nobody_answers_is_repeated_a_few_times_and_no_more(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    recovering, hopeless = unit(queue), unit(queue)
    tries: dict[UnitId, int] = {}

    def run(unit_id: UnitId) -> Ran:
        tries[unit_id] = tries.get(unit_id, 0) + 1
        if unit_id == hopeless.unit_id or tries[unit_id] < 3:
            raise NotBegun(unit_id)
        return Ran(1)

    worker = start_worker(redis_url, queue, run)
    send(redis_url, recovering, hopeless)
    assert worker.until(lambda: ended(worker, "failed") == 1)
    assert ended(worker, "done") == 1
    assert tries == {recovering.unit_id: 3, hopeless.unit_id: tasks.ATTEMPTS_MAX}
    assert worker.metrics.value("swarmex_task_retries_total", task=RUN_UNIT) == 2 + tasks.ATTEMPTS_MAX - 1


def test_what_fails_after_it_began_is_not_repeated(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    def run(_: UnitId) -> Ran:
        raise ConnectionError("the results could not be sent")

    worker = start_worker(redis_url, queue, run)
    send(redis_url, unit(queue))
    assert worker.until(lambda: ended(worker, "failed") == 1)
    assert len(worker.ran) == 1


def test_the_trace_of_a_message_is_bound_to_the_log_while_its_unit_runs(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    bound: list[dict[str, Any]] = []
    worker = start_worker(redis_url, queue, lambda _: bound.append(structlog.contextvars.get_contextvars()))
    sent = unit(queue)
    send(redis_url, sent, sent)
    app = celery_app(redis_url)
    theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header in (theirs, "nonsense"):
        headers = {VERSION_HEADER: MESSAGE_VERSION, "traceparent": header}
        app.send_task(RUN_UNIT, [str(sent.unit_id)], task_id=str(sent.unit_id), queue=queue, headers=headers)
    worker.wait_for(4)
    assert worker.until(lambda: len(bound) == 4)
    unit_trace = sent.unit_id.hex
    traces = sorted(context["trace_id"] for context in bound)  # the most urgent came first
    assert traces == sorted([unit_trace, unit_trace, theirs.split("-")[1], unit_trace])
    assert len({context["span_id"] for context in bound}) == 4


def test_a_task_without_a_queue_goes_to_any_agent_of_its_kind(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    shared = kind_queue(AgentKind.INFERENCE)
    worker = start_worker(redis_url, queue, shared=(shared,))
    sent = unit(queue)
    app = celery_app(redis_url)
    app.send_task(RUN_UNIT, [str(sent.unit_id)], task_id=str(sent.unit_id), headers={VERSION_HEADER: MESSAGE_VERSION})
    assert worker.runs(sent)
