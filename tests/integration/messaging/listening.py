"""How tests listen: connected before anything is published, and no longer than needed."""

import time
from collections.abc import Callable
from datetime import datetime

from backend.domain.events import EVERYBODY, Audience, Event, Topic
from backend.messaging.ports import EventBus
from backend.messaging.subscription import Subscription
from tests.waiting import PATIENCE_S


def listen(
    bus: EventBus,
    *topics: Topic,
    audience: Audience = EVERYBODY,
    on_resync: Callable[[datetime], None] | None = None,
) -> Subscription:
    """A subscription that is known to the server: the first wait connects."""
    return connected(bus.subscribe(topics, audience, on_resync))


def connected(subscription: Subscription) -> Subscription:
    """The same one, once it is known to the server."""
    deadline = time.monotonic() + PATIENCE_S
    assert subscription.wait(0.05) == ()
    while not subscription.connected:
        assert time.monotonic() < deadline, "it does not connect"
        assert subscription.wait(0.05) == ()
    return subscription


def received(subscription: Subscription, count: int) -> list[Event]:
    """The first `count` events, or those that came in time."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(events) < count and time.monotonic() < deadline:
        events += subscription.wait(0.2)
    return events


def wait_until(subscription: Subscription, true: Callable[[], bool]) -> None:
    """Wait on the bus until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came about"
        subscription.wait(0.05)
