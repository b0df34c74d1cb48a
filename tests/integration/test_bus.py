"""The bus on a real Redis: prompt, best effort, and never in anybody's way."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from backend.domain.events import Event, Topic
from backend.messaging.bus import FAILURES_MAX, OPEN_S, Bus
from backend.messaging.codec import KEY_CHARS_MAX
from backend.messaging.subscription import Subscription
from tests.own_redis import OwnRedis

PLACED = Event(Topic.ORDERS_PLACED, "fog/eu")
CLOSED = Event(Topic.ORDERS_CLOSED)


@pytest.fixture
def bus(redis_url: str, namespace: str) -> Iterator[Bus]:
    bus = Bus(redis_url, namespace)
    yield bus
    bus.close()


def listen(bus: Bus, *topics: Topic) -> Subscription:
    """A subscription that is known to the server: the first wait connects."""
    subscription = bus.subscribe(topics)
    assert subscription.wait(0.05) == ()
    return subscription


def received(subscription: Subscription, count: int, timeout_s: float = 5.0) -> list[Event]:
    """The first `count` events, or those that came in time."""
    events: list[Event] = []
    deadline = time.monotonic() + timeout_s
    while len(events) < count and time.monotonic() < deadline:
        events += subscription.wait(0.2)
    return events


def test_an_event_wakes_a_waiting_listener_at_once(bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    later = threading.Timer(0.1, bus.publish, [[PLACED]])
    later.start()
    started = time.monotonic()
    assert subscription.wait(5.0) == (PLACED,)
    assert time.monotonic() - started < 1.0
    later.join()
    subscription.close()


def test_a_listener_hears_its_topics_only(bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_CLOSED, Topic.KEYS_CHANGED)
    bus.publish([PLACED, CLOSED])
    assert received(subscription, 1) == [CLOSED]
    assert subscription.wait(0.1) == ()
    subscription.close()


def test_every_listener_hears_every_event(bus: Bus) -> None:
    listeners = [listen(bus, Topic.ORDERS_PLACED) for _ in range(3)]
    bus.publish([PLACED])
    assert [received(listener, 1) for listener in listeners] == [[PLACED]] * 3
    for listener in listeners:
        listener.close()


def test_namespaces_keep_deployments_apart(redis_url: str, namespace: str, bus: Bus) -> None:
    other = Bus(redis_url, f"{namespace}-other")
    here, there = listen(bus, Topic.ORDERS_PLACED), listen(other, Topic.ORDERS_PLACED)
    bus.publish([PLACED])
    assert received(here, 1) == [PLACED]
    assert there.wait(0.2) == ()
    here.close()
    there.close()
    other.close()


def test_one_publish_sends_each_distinct_event_once(bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED, Topic.ORDERS_CLOSED)
    bus.publish([PLACED, CLOSED, PLACED, PLACED])
    assert received(subscription, 2) == [PLACED, CLOSED]
    assert subscription.wait(0.1) == ()
    subscription.close()


def test_an_event_that_cannot_be_encoded_is_dropped_and_counted(bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    bus.publish([Event(Topic.ORDERS_PLACED, "k" * (KEY_CHARS_MAX + 1)), PLACED])
    assert received(subscription, 1) == [PLACED]
    assert bus.dropped == 1
    subscription.close()


def test_foreign_payloads_are_counted_and_passed_over(redis_url: str, namespace: str, bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    with redis.Redis.from_url(redis_url) as client:
        client.publish(f"{namespace}.{Topic.ORDERS_PLACED}", b"\xff\x00 not ours")
    bus.publish([PLACED])
    assert received(subscription, 1) == [PLACED]
    assert subscription.undecodable == 1
    subscription.close()


def test_a_listener_without_topics_just_waits(bus: Bus) -> None:
    subscription = bus.subscribe([])
    started = time.monotonic()
    assert subscription.wait(0.3) == ()
    assert 0.25 < time.monotonic() - started < 1.0
    subscription.close()


def test_closing_ends_a_wait_in_another_thread(bus: Bus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    waiter = threading.Thread(target=subscription.wait, args=[30.0])
    waiter.start()
    time.sleep(0.1)
    subscription.close()
    waiter.join(2.0)
    assert not waiter.is_alive()


def test_publishing_without_redis_neither_raises_nor_waits(own_redis: OwnRedis) -> None:
    bus = Bus(own_redis.url)
    own_redis.freeze()
    started = time.monotonic()
    for _ in range(50):
        bus.publish([PLACED])
    waited = time.monotonic() - started
    own_redis.thaw()
    assert bus.dropped == 50
    assert waited < FAILURES_MAX + 1.0, "after the first time-outs the breaker answers at once"
    bus.close()


def test_a_listener_and_a_publisher_outlive_a_restart_of_redis(own_redis: OwnRedis) -> None:
    bus = Bus(own_redis.url)
    subscription = listen(bus, Topic.ORDERS_PLACED)
    own_redis.kill()
    started = time.monotonic()
    assert subscription.wait(0.5) == ()
    assert time.monotonic() - started < 1.5, "a wait ends in time although Redis is away"
    bus.publish([PLACED])
    assert bus.dropped == 1
    own_redis.start()
    deadline = time.monotonic() + 10.0
    heard: tuple[Event, ...] = ()
    while not heard and time.monotonic() < deadline:
        bus.publish([PLACED])
        heard = subscription.wait(OPEN_S / 4)
    assert heard[:1] == (PLACED,)
    subscription.close()
    bus.close()


def test_a_listener_notices_a_redis_that_hangs_and_comes_back(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.subscription.PING_EVERY_S", 0.2)
    bus = Bus(own_redis.url)
    subscription = listen(bus, Topic.ORDERS_PLACED)
    own_redis.freeze()
    deadline = time.monotonic() + 5.0
    while subscription.connected and time.monotonic() < deadline:
        subscription.wait(0.1)
    assert not subscription.connected, "unanswered pings give the silence away"
    own_redis.thaw()
    heard: tuple[Event, ...] = ()
    deadline = time.monotonic() + 10.0
    while not heard and time.monotonic() < deadline:
        bus.publish([PLACED])
        heard = subscription.wait(0.2)
    assert heard[:1] == (PLACED,)
    subscription.close()
    bus.close()
