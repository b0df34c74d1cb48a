"""A subscription's connection to Redis: it pings, so that a server that vanished without a word is noticed."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

READ_BYTES_MAX = 1 << 20  # of one read; it comes to an end although more keeps arriving
CONFIRM_S = 1.0
PING_EVERY_S = 5.0
PINGS_UNANSWERED_MAX = 2
PONGS = (b"PONG", [b"pong", b""])  # in the protocol's versions 3 and 2


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RedisFeed:
    """Frames that Redis publishes in some channels; every failure is an OSError."""

    def __init__(self, redis: Redis, now: Callable[[], datetime] = _utc_now) -> None:
        self._redis = redis
        self._now = now
        self._pubsub: PubSub | None = None
        self._heard_until = now()
        self._asked_at: deque[datetime] = deque()  # pings on their way; their answers come in this order
        self._unanswered = 0
        self._ping_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether the server is believed to be listening for us."""
        return self._pubsub is not None

    @property
    def heard_until(self) -> datetime:
        """When the last request was sent that has been answered: what was published before came before the answer."""
        return self._heard_until

    def open(self, channels: Sequence[str]) -> None:
        """Connect and subscribe; the server's first word confirms all channels, since it takes them at one go."""
        try:
            asked_at = self._now()
            pubsub = self._redis.pubsub()  # type: ignore[no-untyped-call]  # typed in part
            self._pubsub = pubsub
            pubsub.subscribe(*channels)
            if _answer(pubsub, CONFIRM_S) is None:
                raise ConnectionError("the subscription is not confirmed")
        except RedisError as error:
            raise ConnectionError(str(error)) from error
        self._heard_until = asked_at
        self._asked_at.clear()
        self._unanswered = 0
        self._ping_at = monotonic() + PING_EVERY_S

    def read(self, timeout_s: float) -> list[bytes]:
        """Frames that are there, at most READ_BYTES_MAX and one more; waits up to `timeout_s` for the first."""
        if self._pubsub is None:
            raise ConnectionError("not connected")
        try:
            self._check_alive(self._pubsub)
            return self._drain(self._pubsub, timeout_s)
        except RedisError as error:
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        """Disconnect."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            try:
                pubsub.close()
                self._redis.close()
            except (RedisError, OSError):
                return

    def _check_alive(self, pubsub: PubSub) -> None:
        if monotonic() < self._ping_at:
            return
        if self._unanswered >= PINGS_UNANSWERED_MAX:
            raise ConnectionError("the bus does not answer")
        self._asked_at.append(self._now())
        pubsub.ping()
        self._unanswered += 1
        self._ping_at = monotonic() + PING_EVERY_S

    def _drain(self, pubsub: PubSub, timeout_s: float) -> list[bytes]:
        frames: list[bytes] = []
        size = 0
        answer = _answer(pubsub, timeout_s)
        while answer is not None:
            self._unanswered = 0
            if answer[0] == b"message":
                frames.append(answer[2])
                size += len(answer[2])
                if size >= READ_BYTES_MAX:
                    break
            elif answer in PONGS and self._asked_at:
                self._heard_until = self._asked_at.popleft()
            answer = _answer(pubsub, 0)
        return frames


def _answer(pubsub: PubSub, timeout_s: float) -> Any:
    """The server's next words; not `get_message`, which makes a dictionary of them."""
    return pubsub.parse_response(block=False, timeout=timeout_s)  # type: ignore[no-untyped-call]  # typed in part
