"""Dispatcher, queue and consumer on a real Redis: order, repetition, and every way in which Redis can go away."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import redis
from kombu.entity import Queue

from backend.domain.errors import Unavailable
from backend.domain.ids import UnitId
from backend.messaging.celery_app import celery_app
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queues import Priority
from tests.integration.workers import Worker, unit
from tests.own_redis import OwnRedis
from tests.waiting import PATIENCE_S

SEED = 2_026
UNITS = 200


def reads(client: redis.Redis) -> int:
    """How often the server has read from a socket: at least once a round trip."""
    return int(client.info("stats")["total_reads_processed"])


def nothing_waits(client: redis.Redis, queue: str) -> bool:
    """Whether no message is queued, nor on its way with a consumer."""
    steps = [queue, *(f"{queue}\x06\x16{int(step)}" for step in Priority)]
    return not client.exists("unacked_index", *steps)


def test_a_waiting_queue_is_served_by_urgency_zero_first_and_by_age_within_one(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    sent = [unit(queue, priority) for priority in (9, 6, 3, 0, 9, 6, 3, 0)]
    dispatcher = Dispatcher(redis_url)
    dispatcher.send(sent)
    dispatcher.close()
    ran = start_worker(redis_url, queue).wait_for(len(sent))
    assert ran == [sent[index].unit_id for index in (3, 7, 2, 6, 1, 5, 0, 4)]


def test_any_mixture_of_the_four_priorities_is_served_in_their_order_and_by_age_within_each(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    chance = random.Random(SEED)
    sent = [unit(queue, chance.choice(list(Priority))) for _ in range(200)]
    dispatcher = Dispatcher(redis_url)
    dispatcher.send(sent)
    dispatcher.close()
    ran = start_worker(redis_url, queue).wait_for(len(sent))
    assert ran == [dispatch.unit_id for dispatch in sorted(sent, key=lambda dispatch: dispatch.priority)]


def test_urgency_goes_before_the_order_of_queues(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    own, shared = [[unit(name, priority) for priority in Priority] for name in (queue, f"{queue}-shared")]
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([*shared, *own])
    dispatcher.close()
    ran = start_worker(redis_url, queue, shared=(f"{queue}-shared",)).wait_for(2 * len(own))
    in_turn = [own, shared]
    assert ran == [queued[place].unit_id for place in range(len(own)) for queued in in_turn]


def test_an_urgent_unit_overtakes_those_that_wait_but_not_the_one_that_runs(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    go_on = threading.Event()
    worker = start_worker(redis_url, queue, lambda _: go_on.wait(PATIENCE_S))
    running, waiting, urgent = unit(queue, Priority.LOW), unit(queue, Priority.LOW), unit(queue, Priority.URGENT)
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([running])
    worker.wait_for(1)
    dispatcher.send([waiting, urgent])
    go_on.set()
    assert worker.wait_for(3) == [running.unit_id, urgent.unit_id, waiting.unit_id]
    dispatcher.close()


def test_a_consumer_holds_one_message_at_a_time(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    go_on = threading.Event()
    worker = start_worker(redis_url, queue, lambda _: go_on.wait(PATIENCE_S))
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([unit(queue) for _ in range(5)])
    worker.wait_for(1)
    with redis.Redis.from_url(redis_url) as client:
        assert client.zcard("unacked_index") == 1
        assert client.llen(f"{queue}\x06\x16{int(Priority.NORMAL)}") == 4
        go_on.set()
        worker.wait_for(5)
        worker.stop()
        assert client.zcard("unacked_index") == 0
    dispatcher.close()


def test_many_units_travel_in_few_round_trips_and_all_arrive_once(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    sent = [unit(queue) for _ in range(UNITS)]
    dispatcher = Dispatcher(own_redis.url)
    dispatcher.send(sent[:1])  # connects
    with redis.Redis.from_url(own_redis.url) as client:
        before = reads(client)
        dispatcher.send(sent[1:])
        assert reads(client) - before < UNITS / 4, "what travels together is read together"
        dispatcher.close()
        worker = start_worker(own_redis.url, queue)
        assert worker.wait_for(UNITS) == [dispatch.unit_id for dispatch in sent]
        assert worker.until(lambda: nothing_waits(client, queue))
    assert len(worker.ran) == UNITS


def test_a_unit_that_raises_is_not_run_again_by_the_broker(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    def fail(unit_id: UnitId) -> None:
        raise RuntimeError(str(unit_id))

    worker = start_worker(redis_url, queue, fail)
    first, second = unit(queue), unit(queue)
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([first, second])
    dispatcher.close()
    assert worker.wait_for(2) == [first.unit_id, second.unit_id]
    with redis.Redis.from_url(redis_url) as client:
        assert worker.until(lambda: nothing_waits(client, queue))
    assert len(worker.ran) == 2


def test_stopping_finishes_the_unit_that_runs_and_leaves_the_rest(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    finished = []
    asked_to_stop = Event()

    def run(unit_id: UnitId) -> None:
        assert asked_to_stop.wait(PATIENCE_S)
        finished.append(unit_id)

    worker = start_worker(redis_url, queue, run)
    first, second = unit(queue), unit(queue)
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([first, second])
    worker.wait_for(1)
    worker.consumer.stop()
    asked_to_stop.set()
    assert worker.stop()
    assert finished == [first.unit_id]
    assert start_worker(redis_url, queue).wait_for(1) == [second.unit_id]
    dispatcher.close()


def test_what_redis_hands_over_as_a_consumer_ends_is_put_back_where_it_was(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    first, second = unit(queue), unit(queue)
    dispatcher = Dispatcher(redis_url)
    with celery_app(redis_url).connection_for_read() as connection:
        channel = connection.channel()
        queues = [Queue(queue)]  # type: ignore[no-untyped-call]  # so is kombu
        consumer = connection.Consumer(queues, channel=channel)
        consumer.consume()
        # As a consumer that is ready for its next message does.
        channel.client.connection = channel.client.connection_pool.get_connection()
        channel._brpop_start()
        dispatcher.send([first, second])
        assert channel._in_poll.can_read(PATIENCE_S), "it was handed over"
        consumer.cancel()
    assert start_worker(redis_url, queue).wait_for(2) == [first.unit_id, second.unit_id]
    dispatcher.close()


def test_a_consumer_that_has_nothing_to_do_can_be_stopped(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(redis_url, queue)
    assert worker.consumer.wait_ready(PATIENCE_S)
    assert worker.stop()


def test_after_a_flush_both_sides_go_on_as_they_are(
    redis_url: str, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(redis_url, queue)
    dispatcher = Dispatcher(redis_url)
    before, after = unit(queue), unit(queue, Priority.URGENT)
    dispatcher.send([before])
    worker.wait_for(1)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    dispatcher.send([after])
    assert worker.wait_for(2) == [before.unit_id, after.unit_id]
    dispatcher.close()


def test_stock_monitors_see_units_come_and_go(redis_url: str, queue: str, start_worker: Callable[..., Worker]) -> None:
    seen: set[str] = set()
    watched = unit(queue)
    app = celery_app(redis_url)

    def see(event: dict[str, str]) -> None:
        if event.get("uuid") == str(watched.unit_id):
            seen.add(event["type"])
        receiver.should_stop = "task-succeeded" in seen

    worker = start_worker(redis_url, queue)
    assert worker.consumer.wait_ready(PATIENCE_S)
    dispatcher = Dispatcher(redis_url)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": see})
        all_seen = threading.Event()

        def send_again() -> None:  # until the receiver listens, events pass it by
            while not all_seen.wait(0.3):
                dispatcher.send([watched])

        sending = threading.Thread(target=send_again)
        sending.start()
        try:
            receiver.capture(timeout=PATIENCE_S, wakeup=False)
        finally:
            all_seen.set()
            sending.join()
    assert seen == {"task-received", "task-started", "task-succeeded"}
    dispatcher.close()


def test_both_sides_outlive_a_restart_of_redis(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(own_redis.url, queue)
    dispatcher = Dispatcher(own_redis.url)
    before, after = unit(queue), unit(queue)
    dispatcher.send([before])
    worker.wait_for(1)
    own_redis.kill()
    with pytest.raises(Unavailable):
        dispatcher.send([unit(queue)])
    time.sleep(2.0)
    own_redis.start()
    dispatcher.send([after])
    assert worker.runs(after)
    dispatcher.close()


def test_a_consumer_goes_on_when_redis_was_away_at_the_end_of_a_unit(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    killed = threading.Event()
    worker = start_worker(own_redis.url, queue, lambda _: killed.wait(PATIENCE_S))
    dispatcher = Dispatcher(own_redis.url)
    before, after = unit(queue), unit(queue)
    dispatcher.send([before])
    worker.wait_for(1)
    own_redis.kill()
    killed.set()
    time.sleep(1.0)
    own_redis.start()
    dispatcher.send([after])
    assert worker.runs(after)
    dispatcher.close()


def test_a_consumer_goes_on_when_redis_hung_at_the_end_of_a_unit(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    frozen = threading.Event()
    worker = start_worker(own_redis.url, queue, lambda _: frozen.wait(PATIENCE_S))
    dispatcher = Dispatcher(own_redis.url)
    before, after = unit(queue), unit(queue)
    dispatcher.send([before])
    worker.wait_for(1)
    own_redis.freeze()
    frozen.set()
    time.sleep(3.0)
    own_redis.thaw()
    dispatcher.send([after])
    assert worker.runs(after)
    dispatcher.close()


def test_a_consumer_started_without_redis_begins_when_there_is_one(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    own_redis.kill()
    worker = start_worker(own_redis.url, queue)
    assert not worker.consumer.wait_ready(0.5)
    own_redis.start()
    assert worker.consumer.wait_ready(PATIENCE_S)


def test_a_consumer_can_be_stopped_while_redis_is_away(
    own_redis: OwnRedis, queue: str, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(own_redis.url, queue)
    assert worker.consumer.wait_ready(PATIENCE_S)
    own_redis.kill()
    time.sleep(0.5)
    assert worker.stop(), "and nobody brings it back"


def test_sending_to_a_redis_that_hangs_fails_while_it_hangs(own_redis: OwnRedis, queue: str) -> None:
    dispatcher = Dispatcher(own_redis.url)
    dispatcher.send([unit(queue)])
    own_redis.freeze()
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(dispatcher.send, [unit(queue)])
        try:
            assert isinstance(sending.exception(PATIENCE_S), Unavailable)
        finally:
            own_redis.thaw()
    dispatcher.close()
