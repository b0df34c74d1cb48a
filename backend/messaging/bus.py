"""The bus: wake-up hints over Redis pub/sub. Best effort: who misses one finds the truth in PostgreSQL."""

from collections.abc import Sequence

from pybreaker import CircuitBreaker, CircuitBreakerError
from redis.exceptions import RedisError

from backend.domain.events import Event, Topic
from backend.messaging.codec import encode
from backend.messaging.redis_client import connect
from backend.messaging.subscription import Subscription

PUBLISH_MAX = 1000  # events of one publish; the rest is dropped, since one hint wakes an agent as well as many
FAILURES_MAX = 2
OPEN_S = 1.0  # while Redis is away, a publish costs nothing for so long, instead of a time-out each


class Bus:
    """Publishes events and hands out subscriptions; `namespace` keeps deployments on one Redis apart."""

    def __init__(self, redis_url: str, namespace: str = "swarmex") -> None:
        self._redis = connect(redis_url)
        self._redis_url = redis_url
        self._namespace = namespace
        self._breaker = CircuitBreaker(fail_max=FAILURES_MAX, reset_timeout=OPEN_S)
        self.dropped = 0

    def publish(self, events: Sequence[Event]) -> None:
        """Send each distinct event once. Never raises: what cannot be sent is counted in `dropped`."""
        messages = []
        for event in dict.fromkeys(events):
            try:
                messages.append((f"{self._namespace}.{event.topic}", encode(event)))
            except ValueError:
                self.dropped += 1
        self.dropped += len(messages[PUBLISH_MAX:])
        if not messages:
            return
        try:
            self._breaker.call(self._send, messages[:PUBLISH_MAX])
        except (RedisError, OSError, CircuitBreakerError):
            self.dropped += len(messages[:PUBLISH_MAX])

    def _send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for channel, payload in messages:
                pipeline.publish(channel, payload)
            pipeline.execute()

    def subscribe(self, topics: Sequence[Topic]) -> Subscription:
        """A subscription to `topics`; it connects when it is first waited on."""
        return Subscription(connect(self._redis_url), {f"{self._namespace}.{topic}" for topic in topics})

    def close(self) -> None:
        """Drop all connections of the publishing side."""
        self._redis.close()
