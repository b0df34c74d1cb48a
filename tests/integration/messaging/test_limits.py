"""Nothing on the bus grows without end: the oldest events go first, and are counted."""

import tracemalloc

import pytest

from backend.domain.events import Event, Topic
from backend.messaging.losses import Loss
from backend.messaging.outbound import PUBLISH_MAX
from backend.messaging.ports import EventBus
from backend.messaging.subscription import EVENTS_MAX
from tests.integration.messaging.listening import listen, received
from tests.waiting import PATIENCE_S

BATCH = 500
GROWTH_BYTES_MAX = 24 << 20  # the twin's own backlog is in it, and what other threads hold meanwhile


def numbered(first: int, end: int, width: int = 1) -> list[Event]:
    return [Event(Topic.ORDERS_PLACED, f"{number:0{width}}") for number in range(first, end)]


def test_of_too_many_events_at_once_the_oldest_are_dropped_and_counted(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    events = numbered(0, PUBLISH_MAX + 7)
    bus.publish(events)
    assert received(subscription, PUBLISH_MAX) == events[7:]
    assert bus.losses.by_reason() == {Loss.SURPLUS: 7}
    subscription.close()


def test_a_slow_listener_gets_the_newest_and_the_others_are_counted(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.messaging.subscription.EVENTS_MAX", 100)
    subscription = listen(bus, Topic.ORDERS_PLACED)
    for first in range(0, 10 * BATCH, BATCH):
        bus.publish(numbered(first, first + BATCH))
    *_, last = numbered(0, 10 * BATCH)
    heard: list[Event] = []
    while last not in heard:  # what Redis has not sent yet comes with a later wait
        got = subscription.wait(PATIENCE_S)
        assert 0 < len(got) <= 100
        heard += got
    assert heard == sorted(heard, key=lambda event: int(event.key))
    assert bus.losses.by_reason() == {Loss.OVERFLOW: 10 * BATCH - len(heard)}
    assert len(heard) < 10 * BATCH
    subscription.close()


def test_a_listener_that_does_not_wait_does_not_grow(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    last = Event(Topic.ORDERS_PLACED, "last")
    tracemalloc.start()
    for first in range(0, 100 * BATCH, BATCH):  # 12 MB, in 40 waits' worth
        bus.publish(numbered(first, first + BATCH, width=200))
    heard: tuple[Event, ...] = ()
    while last not in heard:
        bus.publish([last])
        heard = subscription.wait(1.0)
        assert len(heard) <= EVENTS_MAX
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < GROWTH_BYTES_MAX
    subscription.close()
