"""Breakers that are not closed, in Redis: a hash `<namespace>.breakers`, and a channel of that name for changes."""

from collections.abc import Iterable, Sequence

from pybreaker import STATE_CLOSED
from redis import Redis
from redis.client import PubSub

from backend.messaging.breaker_notice import Notice, Posted, UnreadableNotice, decode_kept, encode, encode_kept
from backend.messaging.breaker_policy import RECOVERY_MAX_S
from backend.messaging.redis_client import connect

EXPIRY_MS = int(2 * RECOVERY_MAX_S * 1_000)  # of all of it, when no process writes any more
READ_MAX = 5_000  # entries; more than all processes of a deployment are likely to have open


class BreakerStore:
    """Every method is one or two round trips, and raises redis.RedisError or OSError while Redis is away."""

    def __init__(self, redis_url: str, namespace: str) -> None:
        self._redis: Redis = connect(redis_url)
        self.key = f"{namespace}.breakers"

    def write(self, notices: Iterable[Notice]) -> None:
        """Keep each change and tell it to everybody; all see them in the same order."""
        now_ms = self._now_ms()
        with self._redis.pipeline(transaction=True) as pipeline:
            for notice in notices:
                if notice.state == STATE_CLOSED:
                    pipeline.hdel(self.key, notice.name)
                else:
                    pipeline.hset(self.key, notice.name, encode_kept(notice, now_ms))
                pipeline.publish(self.key, encode(notice))
            pipeline.pexpire(self.key, EXPIRY_MS)
            pipeline.execute()

    def restore(self, notices: Iterable[Notice]) -> None:
        """Put back what got lost, unless somebody has written it meanwhile; nobody is told."""
        now_ms = self._now_ms()
        with self._redis.pipeline(transaction=False) as pipeline:
            for notice in notices:
                pipeline.hsetnx(self.key, notice.name, encode_kept(notice, now_ms))
            pipeline.pexpire(self.key, EXPIRY_MS)
            pipeline.execute()

    def read(self) -> list[Posted]:
        """All that is kept, by name; what cannot be read is passed over."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.hgetall(self.key)
            time, kept = pipeline.execute()
        found = []
        for name, payload in sorted(kept.items())[:READ_MAX]:
            try:
                found.append(decode_kept(name, payload, _ms(time)))
            except UnreadableNotice:
                continue
        return found

    def forget(self, names: Sequence[str]) -> None:
        """Take off what nobody confirms any more."""
        if names:
            self._redis.hdel(self.key, *names)

    def listen(self) -> PubSub:
        """A subscription to changes, known to the server."""
        subscribed: PubSub = self._redis.pubsub()  # type: ignore[no-untyped-call]  # typed in part
        subscribed.subscribe(self.key)
        subscribed.get_message(timeout=1.0)  # the server's word that it has subscribed us
        return subscribed

    def close(self) -> None:
        """Drop all connections."""
        self._redis.close()

    def _now_ms(self) -> int:
        return _ms(self._redis.time())


def _ms(time: tuple[int, int]) -> int:
    """Milliseconds of Redis' own (seconds, microseconds): the clocks of our machines need not agree."""
    seconds, microseconds = time
    return seconds * 1_000 + microseconds // 1_000
