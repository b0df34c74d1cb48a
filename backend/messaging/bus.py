"""The bus: wake-up hints over Redis pub/sub. Best effort: who misses one finds the truth in PostgreSQL."""

from collections.abc import Callable, Sequence
from datetime import datetime

from redis.exceptions import RedisError

from backend.domain.events import EVERYBODY, Audience, Event, Topic
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.channels import channels_for
from backend.messaging.codec import pack
from backend.messaging.losses import UNSENT, Loss, Losses
from backend.messaging.outbound import outbound
from backend.messaging.redis_client import connect
from backend.messaging.redis_feed import RedisFeed
from backend.messaging.subscription import Subscription

FAILURES_MAX = 2
OPEN_S = 1.0  # while Redis is away, a publish costs nothing for so long, instead of a time-out each
BREAKER_POLICY = BreakerPolicy(fail_max=FAILURES_MAX, recovery_s=OPEN_S)


class Bus:
    """The EventBus on Redis; `namespace` keeps deployments on one server apart."""

    def __init__(self, redis_url: str, namespace: str = "swarmex", breaker: Breaker | None = None) -> None:
        self._redis = connect(redis_url)
        self._redis_url = redis_url
        self._namespace = namespace
        self._breaker = breaker or Breaker("bus", BREAKER_POLICY)
        self.losses = Losses()

    @property
    def dropped(self) -> int:
        """Events that could not be published."""
        return self.losses.total(*UNSENT)

    def publish(self, events: Sequence[Event]) -> None:
        """Send each distinct event once. Never raises: what cannot be sent is counted in `losses`."""
        lines = outbound(self._namespace, events, self.losses)
        if not lines:
            return
        try:
            self._breaker.call(self._send, pack(lines))
        except (RedisError, OSError, BreakerOpen):
            self.losses.add(Loss.UNREACHABLE, len(lines))

    def _send(self, frames: Sequence[tuple[str, bytes]]) -> None:
        if len(frames) == 1:  # a pipeline costs a quarter more (measured)
            self._redis.publish(*frames[0])
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            for channel, frame in frames:
                pipeline.publish(channel, frame)
            pipeline.execute()

    def subscribe(
        self,
        topics: Sequence[Topic],
        audience: Audience = EVERYBODY,
        on_resync: Callable[[datetime], None] | None = None,
    ) -> Subscription:
        """A subscription to what is for `audience` in `topics`; see EventBus."""
        channels = channels_for(self._namespace, topics, audience)
        return Subscription(RedisFeed(connect(self._redis_url)), channels, audience, self.losses, on_resync)

    def close(self) -> None:
        """Drop all connections of the publishing side."""
        self._redis.close()
