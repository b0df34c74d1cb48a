"""What a bus is to its users, and what a server is to the bus: Redis, or its twin in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from backend.domain.events import EVERYBODY, Audience, Event, Topic
from backend.messaging.losses import Losses
from backend.messaging.subscription import Subscription


class EventBus(Protocol):
    """Publishes events and hands out subscriptions. Best effort: losing any event harms nobody."""

    losses: Losses
    """Of its publishes and of all its subscriptions."""

    @property
    def dropped(self) -> int:
        """Events that could not be published."""
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Send each distinct event once. Never raises: what cannot be sent is counted in `losses`."""
        ...

    def subscribe(
        self,
        topics: Sequence[Topic],
        audience: Audience = EVERYBODY,
        on_resync: Callable[[datetime], None] | None = None,
    ) -> Subscription:
        """A subscription to what is for `audience` in `topics`; it connects when it is first waited on.

        `on_resync(since)` is called in the waiting thread after each connection, the first included, and after
        events were dropped because nobody waited: nothing that was published before `since` (UTC) was missed, and
        anything after it may have been.
        """
        ...

    def close(self) -> None:
        """Drop all connections of the publishing side."""
        ...
