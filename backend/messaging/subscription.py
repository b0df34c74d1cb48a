"""One listener on the bus: it waits, reconnects, and never fails its owner."""

from random import uniform
from threading import Event as Flag
from threading import Lock
from time import monotonic

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from backend.domain.events import Event
from backend.messaging.codec import UndecodableEvent, decode

EVENTS_MAX = 1000  # handed over by one wait; what is left comes with the next
READ_S = 0.25  # a close is noticed within this time
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 2.0
PING_EVERY_S = 5.0
PINGS_UNANSWERED_MAX = 2


class Subscription:
    """Events of some channels. One thread waits at a time; any thread may close."""

    def __init__(self, redis: Redis, channels: set[str]) -> None:
        self._redis = redis
        self._channels = sorted(channels)
        self._pubsub: PubSub | None = None
        self._closed = Flag()
        self._reading = Lock()
        self._retry_s = RETRY_FIRST_S
        self._retry_at = 0.0
        self._ping_at = 0.0
        self._pings_unanswered = 0
        self.undecodable = 0

    @property
    def connected(self) -> bool:
        """Whether the server is believed to be listening for us."""
        return self._pubsub is not None

    def wait(self, timeout_s: float) -> tuple[Event, ...]:
        """Events as soon as there are any; an empty tuple after `timeout_s`. Redis may be away meanwhile."""
        deadline = monotonic() + timeout_s
        while not self._closed.is_set():
            left_s = max(0.0, deadline - monotonic())
            with self._reading:
                events = self._read(min(left_s, READ_S))
            if events or left_s == 0.0:
                return tuple(events)
        return ()

    def close(self) -> None:
        """End the current wait within READ_S and disconnect."""
        self._closed.set()
        with self._reading:
            self._disconnect()
            self._redis.close()

    def _read(self, timeout_s: float) -> list[Event]:
        """What arrives within `timeout_s`; nothing while Redis is away."""
        try:
            if self._pubsub is None:
                self._connect(timeout_s)
                return []
            self._check_alive(self._pubsub)
            return self._drain(self._pubsub, timeout_s)
        except (RedisError, OSError):
            self._disconnect()
            self._retry_at = monotonic() + uniform(0.5, 1.0) * self._retry_s  # noqa: S311  # jitter, not a secret
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            return []

    def _connect(self, timeout_s: float) -> None:
        """Connect and subscribe, unless it is too early to try again: then wait up to `timeout_s`."""
        if not self._channels:
            self._closed.wait(timeout_s)
            return
        if (pause_s := self._retry_at - monotonic()) > 0:
            self._closed.wait(min(pause_s, timeout_s))
            return
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # typed in part
        self._pubsub = pubsub
        pubsub.subscribe(*self._channels)
        pubsub.get_message(timeout=READ_S)  # the server's word that it has subscribed us
        self._ping_at, self._pings_unanswered = monotonic() + PING_EVERY_S, 0
        self._retry_s = RETRY_FIRST_S

    def _check_alive(self, pubsub: PubSub) -> None:
        """Notice a peer that vanished without a word: it leaves pings unanswered."""
        if monotonic() < self._ping_at:
            return
        if self._pings_unanswered >= PINGS_UNANSWERED_MAX:
            raise ConnectionError("the bus does not answer")
        pubsub.ping()
        self._pings_unanswered += 1
        self._ping_at = monotonic() + PING_EVERY_S

    def _drain(self, pubsub: PubSub, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        message = pubsub.get_message(timeout=timeout_s)
        while message is not None and len(events) < EVENTS_MAX:
            self._pings_unanswered = 0
            if message["type"] == "message":
                try:
                    events.append(decode(message["data"]))
                except UndecodableEvent:
                    self.undecodable += 1
            message = pubsub.get_message(timeout=0)
        return events

    def _disconnect(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            try:
                pubsub.close()
            except (RedisError, OSError):
                return
