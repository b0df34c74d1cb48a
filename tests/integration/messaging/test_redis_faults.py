"""What only Redis does: it hangs without a word, and throws out listeners that are too slow."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from backend.domain.events import Event, Topic
from backend.messaging.breaker import Breaker
from backend.messaging.bus import BREAKER_POLICY, FAILURES_MAX, Bus
from backend.messaging.losses import Loss
from tests.integration.messaging.listening import listen, received, wait_until
from tests.own_redis import OwnRedis
from tests.waiting import FOREVER_S, PATIENCE_S

PLACED = Event(Topic.ORDERS_PLACED, "fog/eu")


def test_publishing_to_a_redis_that_hangs_neither_raises_nor_waits(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(own_redis.url, breaker=Breaker("bus", replace(BREAKER_POLICY, recovery_s=FOREVER_S)))
    send, attempts = bus._send, []

    def counted(frames: Sequence[tuple[str, bytes]]) -> None:
        attempts.append(frames)
        send(frames)

    monkeypatch.setattr(bus, "_send", counted)
    own_redis.freeze()
    for _ in range(50):
        bus.publish([PLACED])
    own_redis.thaw()
    assert bus.losses.by_reason() == {Loss.UNREACHABLE: 50}
    assert len(attempts) == FAILURES_MAX, "after the first time-outs the breaker answers"
    bus.close()


def test_a_listener_notices_a_redis_that_hangs_and_comes_back(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.redis_feed.PING_EVERY_S", 0.2)
    bus = Bus(own_redis.url)
    subscription = listen(bus, Topic.ORDERS_PLACED)
    own_redis.freeze()
    wait_until(subscription, lambda: not subscription.connected)
    own_redis.thaw()
    heard: tuple[Event, ...] = ()
    deadline = time.monotonic() + PATIENCE_S
    while not heard and time.monotonic() < deadline:
        bus.publish([PLACED])
        heard = subscription.wait(0.2)
    assert heard[:1] == (PLACED,)
    subscription.close()
    bus.close()


def test_the_gap_begins_at_the_last_ping_that_was_answered(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.redis_feed.PING_EVERY_S", 0.2)
    bus = Bus(own_redis.url)
    asked: list[datetime] = []
    subscription = listen(bus, Topic.ORDERS_PLACED, on_resync=asked.append)
    opened = subscription._feed.heard_until
    wait_until(subscription, lambda: subscription._feed.heard_until > opened)
    answered = subscription._feed.heard_until
    own_redis.kill()
    killed = datetime.now(UTC)
    wait_until(subscription, lambda: not subscription.connected)
    own_redis.start()
    wait_until(subscription, lambda: len(asked) == 2)
    assert answered <= asked[1] <= killed, "an idle listener's connection is proven by pings"
    subscription.close()
    bus.close()


def test_a_listener_that_redis_throws_out_comes_back_and_resyncs(own_redis: OwnRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("client-output-buffer-limit", "pubsub 100000 0 0")
    bus = Bus(own_redis.url)
    asked: list[datetime] = []
    subscription = listen(bus, Topic.ORDERS_PLACED, on_resync=asked.append)
    for first in range(0, 60_000, 500):
        bus.publish([Event(Topic.ORDERS_PLACED, f"{number:0200}") for number in range(first, first + 500)])
    published = datetime.now(UTC)
    wait_until(subscription, lambda: not subscription.connected)
    wait_until(subscription, lambda: subscription.connected)
    assert len(asked) >= 2
    assert asked[-1] <= published
    bus.publish([PLACED])
    assert received(subscription, 1) == [PLACED]
    subscription.close()
    bus.close()
