"""What this process depends on, asked within a time-out."""

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError

from backend.bootstrap import Swarmex
from backend.gateway.limits import PROBE_TIMEOUT_S
from backend.gateway.threads import Threads
from backend.messaging.redis_client import connect
from backend.services import changes


class Probes:
    """Asks the database and Redis for a sign of life."""

    def __init__(self, market: Swarmex, threads: Threads) -> None:
        self._market = market
        self._threads = threads
        self._redis = connect(market.redis_url)

    async def both(self) -> tuple[bool, bool]:
        """Whether the database and Redis answer within PROBE_TIMEOUT_S."""
        return await asyncio.gather(self._answers(self._ask_database), self._answers(self._ask_redis))

    def close(self) -> None:
        """Drop the connection."""
        self._redis.close()

    async def _answers(self, ask: Callable[[], None]) -> bool:
        try:
            await self._threads.run(ask, PROBE_TIMEOUT_S)
        except Exception:  # whatever it is, it is no answer
            return False
        return True

    def _ask_database(self) -> None:
        changes.versions(self._market.uow())

    def _ask_redis(self) -> None:
        if not self._redis.ping():
            raise RedisError("no pong")
