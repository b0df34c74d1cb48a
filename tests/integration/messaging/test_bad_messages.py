"""Messages that are not ours, on a real Redis: each is refused for its reason, and the worker lives on."""

import random
from collections.abc import Callable

import pytest
import redis
from celery import Celery

from backend.domain.dead_letters import DeathReason
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queues import RUN_UNIT
from tests.integration.workers import Ran, Worker, unit
from tests.unit.messaging.messages import BAD, UNIT, message

SEED = 20_260


def push(redis_url: str, queue: str, *messages: bytes) -> None:
    """Put messages into a queue as nobody of ours would."""
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        client.lpush(queue, *messages)


def goes_on(worker: Worker, redis_url: str, queue: str) -> bool:
    """Whether the worker runs a unit that is sent now, and leaves nothing unacknowledged."""
    good = unit(queue)
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([good])
    dispatcher.close()
    ran = worker.runs(good)
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        return ran and worker.until(lambda: client.zcard("unacked_index") == 0)


def test_every_bad_message_is_buried_for_its_reason_and_the_worker_lives_on(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(redis_url, queue)
    push(redis_url, queue, *(raw for raw, _ in BAD.values()))
    assert worker.until(lambda: len(worker.buried.messages) == len(BAD))
    reasons = [reason for _, reason in BAD.values()]
    assert [(name, dead.reason) for name, dead in worker.buried.messages] == [(queue, reason) for reason in reasons]
    assert worker.ran == []
    assert goes_on(worker, redis_url, queue)
    for reason in DeathReason:
        assert worker.metrics.value("swarmex_messages_refused_total", reason=reason) == reasons.count(reason)


def test_the_worker_that_lived_on_is_the_same_one(
    redis_url: str, queue: str, start_worker: Callable[..., Worker], capfd: pytest.CaptureFixture[str]
) -> None:
    worker = start_worker(redis_url, queue)
    assert goes_on(worker, redis_url, queue)
    push(redis_url, queue, *(raw for raw, _ in BAD.values()))
    assert goes_on(worker, redis_url, queue)
    assert worker.stop()
    told = capfd.readouterr().err
    assert told.count("consumer.ready") == 1
    assert "consumer.failed" not in told


def test_a_pickle_is_never_loaded(redis_url: str, queue: str, start_worker: Callable[..., Worker]) -> None:
    worker = start_worker(redis_url, queue)
    stranger = Celery("stranger", broker=redis_url, set_as_current=False)
    stranger.conf.update(task_serializer="pickle", result_backend=None)
    stranger.send_task(RUN_UNIT, args=[str(UNIT)], queue=queue)
    assert worker.until(lambda: bool(worker.buried.messages))
    [(_, dead)] = worker.buried.messages
    assert (dead.reason, worker.ran) == (DeathReason.CONTENT_TYPE, [])
    assert goes_on(worker, redis_url, queue)


def test_a_unit_that_nobody_knows_is_buried_and_one_that_is_done_is_not(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(redis_url, queue, lambda _: Ran(0))
    done, unknown = unit(queue), unit(queue)
    worker.buried.unknown.add(unknown.unit_id)
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([done, unknown])
    dispatcher.close()
    assert worker.until(lambda: bool(worker.buried.messages))
    [(name, dead)] = worker.buried.messages
    assert (name, dead.reason, dead.unit_id) == (queue, DeathReason.UNKNOWN_UNIT, unknown.unit_id)
    assert goes_on(worker, redis_url, queue)


def test_a_graveyard_that_is_away_does_not_stop_the_worker(
    redis_url: str, queue: str, start_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bool:
        raise ConnectionError("away")

    worker = start_worker(redis_url, queue)
    monkeypatch.setattr(worker.buried, "bury", away)
    push(redis_url, queue, b"garbage", message(headers={"swarmex_version": 99}))
    assert goes_on(worker, redis_url, queue)
    assert worker.metrics.value("swarmex_messages_refused_total", reason="corrupt") == 1


def test_messages_damaged_at_random_do_not_stop_the_worker(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    chance = random.Random(SEED)
    damaged = []
    for _ in range(300):
        raw = bytearray(message())
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        damaged.append(bytes(raw))
    worker = start_worker(redis_url, queue)
    push(redis_url, queue, *damaged)
    assert worker.until(lambda: len(worker.buried.messages) + len(worker.ran) >= len(damaged))
    assert len(worker.buried.messages) > len(damaged) / 2
    assert goes_on(worker, redis_url, queue)
