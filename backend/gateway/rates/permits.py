"""Where a gateway process gets its permits: from buckets in Redis, and from its own while Redis is away."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backend.domain.buckets import PARTS, SHARE, SLOT_SHARE, Ask, Bucket, Drawn, block, draw
from backend.domain.rates import Limits
from backend.gateway.rates.permit_script import PERMITS
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy

log = structlog.get_logger(__name__)

DRAW_TIMEOUT_S = 0.25  # a request waits no longer for Redis than this
CONNECTIONS_MAX = 8
LEASE_MS = 5_000  # places of a process that crashed are free again after this
NO_SPARE = 1 << 31  # a share of free places that is none
KEEP_MS = 130_000  # a bucket that was emptied twice over is full by then, so it can be forgotten
BREAKER_POLICY = BreakerPolicy(fail_max=1, recovery_s=1.0)
AWAY = (RedisError, OSError, TimeoutError, BreakerOpen)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a process wants of a key's limits in one trip; `places` is all that it needs, those it has included."""

    limits: Limits
    requests: Ask
    tokens: Ask
    places: int


@dataclass(frozen=True, slots=True)
class Granted:
    """What it got; `places` is all that it may use."""

    requests: Drawn
    tokens: Drawn
    places: int


@dataclass(slots=True)
class Buckets:
    """A key's buckets as this process last knew them, which count while Redis is away."""

    requests: Bucket | None = None
    tokens: Bucket | None = None


class Permits:
    """Used in one event loop. While Redis is away each process keeps to the whole limit by itself."""

    def __init__(self, redis_url: str, namespace: str, process: str, breaker: Breaker) -> None:
        pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=CONNECTIONS_MAX,
            timeout=DRAW_TIMEOUT_S,
            socket_timeout=DRAW_TIMEOUT_S,
            socket_connect_timeout=DRAW_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=pool)
        self._script = self._redis.register_script(PERMITS)
        self._prefix = f"{namespace}.rates."
        self._process = process
        self._breaker = breaker
        self.alone = False
        self.trips = 0  # to Redis, well or not
        self.drawn_alone = 0

    async def draw(self, name: str, asked: Asked, own: Buckets) -> Granted:
        """What the line `name` gets; `own` is kept up to date for when Redis is away."""
        try:
            self.trips += 1
            answer = await self._breaker.call_async(self._ask, name, asked)
        except AWAY as error:
            if isinstance(error, BreakerOpen):
                self.trips -= 1
            self._tell(alone=True, error=error)
            self.drawn_alone += 1
            return draw_alone(asked, own, now_ms())
        self._tell(alone=False)
        granted = Granted(Drawn(*answer[0:3]), Drawn(*answer[3:6]), answer[6])
        at_ms = now_ms()
        own.requests = Bucket(granted.requests.left * PARTS, at_ms)
        own.tokens = Bucket(granted.tokens.left * PARTS, at_ms)
        return granted

    async def settle(self, asked: Mapping[str, tuple[Asked, Buckets]]) -> None:
        """Give back what lines do not need and renew their leases of places, all in one trip."""
        try:
            self.trips += 1
            await self._breaker.call_async(self._settle, asked)
        except AWAY as error:
            if isinstance(error, BreakerOpen):
                self.trips -= 1
            self._tell(alone=True, error=error)
            for wish, own in asked.values():
                draw_alone(wish, own, now_ms())

    async def close(self) -> None:
        """Drop all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _ask(self, name: str, asked: Asked) -> list[int]:
        answer: list[int] = await self._script(keys=[self._prefix + name], args=self._arguments(asked, SLOT_SHARE))
        return answer

    async def _settle(self, asked: Mapping[str, tuple[Asked, Buckets]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name, (wish, _) in asked.items():
                await self._script(keys=[self._prefix + name], args=self._arguments(wish, NO_SPARE), client=pipeline)
            await pipeline.execute()

    def _arguments(self, asked: Asked, slot_share: int) -> list[str | int]:
        return [
            *(self._process, LEASE_MS, KEEP_MS, asked.limits.in_flight, asked.places, PARTS, SHARE, slot_share),
            *(_arguments(asked.requests)),
            *(_arguments(asked.tokens)),
        ]

    def _tell(self, *, alone: bool, error: Exception | None = None) -> None:
        """Log once when Redis goes, and once when it is back."""
        if alone != self.alone:
            self.alone = alone
            if alone:
                log.warning("rate_limits_alone", error=type(error).__name__)
            else:
                log.info("rate_limits_shared")


def draw_alone(asked: Asked, own: Buckets, at_ms: int) -> Granted:
    """What the process gives itself, from buckets that are its own."""
    own.requests, requests = draw(own.requests, asked.requests, at_ms)
    own.tokens, tokens = draw(own.tokens, asked.tokens, at_ms)
    return Granted(requests, tokens, asked.limits.in_flight)


def now_ms() -> int:
    """Milliseconds that never go back, of this process's clock."""
    return time.monotonic_ns() // 1_000_000


def _arguments(ask: Ask) -> tuple[int, ...]:
    return ask.per_minute, ask.need, ask.least, ask.returned, block(ask.per_minute)
