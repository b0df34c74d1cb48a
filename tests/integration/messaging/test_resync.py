"""After every connection a listener learns since when it may have missed something."""

from datetime import UTC, datetime
from functools import partial

import pytest

from backend.domain.events import Event, Topic
from backend.messaging.losses import Loss
from backend.messaging.ports import EventBus
from backend.messaging.subscription import Subscription
from tests.integration.messaging.listening import connected, listen, received, wait_until
from tests.integration.messaging.servers import Server
from tests.waiting import FOREVER_S, PATIENCE_S

PLACED = Event(Topic.ORDERS_PLACED, "fog/eu")


def test_the_first_connection_asks_to_read_what_came_before_it(bus: EventBus) -> None:
    asked: list[datetime] = []
    before = datetime.now(UTC)
    subscription = bus.subscribe([Topic.ORDERS_PLACED], on_resync=asked.append)
    made = datetime.now(UTC)
    assert asked == []
    assert subscription.wait(FOREVER_S) == (), "which ends the wait, so that its owner may look"
    [since] = asked
    assert before <= since <= made
    subscription.close()


def test_a_listener_that_was_away_reads_what_it_missed(server: Server, bus: EventBus) -> None:
    database: list[tuple[datetime, str]] = []
    asked: list[datetime] = []
    read: list[str] = []

    def resync(since: datetime) -> None:
        asked.append(since)
        read.extend(fact for at, fact in database if at >= since)

    subscription = bus.subscribe([Topic.ORDERS_PLACED], on_resync=resync)
    made = datetime.now(UTC)
    connected(subscription)
    assert len(asked) == 1
    server.stop()
    stopped = datetime.now(UTC)
    wait_until(subscription, lambda: not subscription.connected)
    database.append((datetime.now(UTC), "missed"))
    bus.publish([PLACED])
    assert bus.losses.by_reason() == {Loss.UNREACHABLE: 1}
    server.start()
    wait_until(subscription, lambda: len(asked) == 2)
    assert read == ["missed"]
    assert asked[0] <= made <= asked[1] <= stopped, "the gap begins when the connection was last known to be good"
    subscription.close()


def test_each_reconnection_is_told_and_nothing_between(server: Server, bus: EventBus) -> None:
    asked: list[datetime] = []
    subscription = listen(bus, Topic.ORDERS_PLACED, on_resync=asked.append)
    for count in (2, 3):
        server.stop()
        wait_until(subscription, lambda: not subscription.connected)
        server.start()
        wait_until(subscription, partial(lambda count: len(asked) == count, count))
        assert subscription.wait(0.3) == ()
        assert len(asked) == count
    assert asked == sorted(asked)
    subscription.close()


def test_a_resync_that_failed_is_asked_for_again_since_the_same_moment(bus: EventBus) -> None:
    asked: list[datetime] = []

    def resync(since: datetime) -> None:
        asked.append(since)
        if len(asked) < 3:
            raise ConnectionRefusedError("the database is away")

    subscription = bus.subscribe([Topic.ORDERS_PLACED], on_resync=resync)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            subscription.wait(PATIENCE_S)
    assert subscription.wait(PATIENCE_S) == ()
    bus.publish([PLACED])
    assert received(subscription, 1) == [PLACED]
    assert len(asked) == 3
    assert len(set(asked)) == 1
    subscription.close()


def test_a_listener_may_be_closed_while_it_resyncs(bus: EventBus) -> None:
    def resync(_since: datetime) -> None:
        subscription.close()

    subscription: Subscription = bus.subscribe([Topic.ORDERS_PLACED], on_resync=resync)
    assert subscription.wait(FOREVER_S) == ()
    assert not subscription.connected


def test_a_listener_that_was_too_slow_is_asked_to_read_what_was_dropped(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.subscription.EVENTS_MAX", 100)
    asked: list[datetime] = []
    subscription = listen(bus, Topic.ORDERS_PLACED, on_resync=asked.append)
    assert len(asked) == 1
    bus.publish([Event(Topic.ORDERS_PLACED, str(number)) for number in range(500)])
    published = datetime.now(UTC)
    assert len(subscription.wait(PATIENCE_S)) == 100, "what is left of them is handed over all the same"
    assert len(asked) == 2
    assert asked[1] <= published
    subscription.close()
