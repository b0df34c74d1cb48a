"""Limits of keys over a real Redis, for as many processes as a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, KeyId
from backend.domain.rates import Face, Limits
from backend.gateway.changes import Changes
from backend.gateway.errors import RateLimited
from backend.gateway.rates.permits import BREAKER_POLICY, Permits
from backend.gateway.rates.rates import Rates, process_name
from backend.gateway.threads import Threads
from backend.messaging.breakers import Breakers
from backend.storage.ids import new_id


@dataclass
class Process:
    """What one gateway process has of limits."""

    rates: Rates
    changes: Changes
    threads: Threads

    def is_alone(self) -> bool:
        """Whether it does without Redis."""
        return self.rates.permits.alone

    @property
    def trips(self) -> int:
        """Round trips to Redis so far."""
        return self.rates.permits.trips


class Deployment:
    """Processes on one Redis, and the limits that were set for keys."""

    def __init__(self, redis_url: str, namespace: str) -> None:
        self.redis_url = redis_url
        self._namespace = namespace
        self.limits = Limits(requests_per_minute=6_000, tokens_per_minute=1_000_000, in_flight=10_000)
        self.version = 1
        self.caller = Principal(KeyId(new_id()), AccountId(new_id()), Role.USER)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Process]:
        """One more."""
        threads = Threads(1, 10)
        changes = Changes(lambda: {"rates": self.version}, threads)
        breaker = Breakers().get("rates", "redis", BREAKER_POLICY, shared=False)
        permits = Permits(self.redis_url, self._namespace, process_name(), breaker)
        rates = Rates(lambda _: dict.fromkeys(Face, self.limits), permits, threads, changes)
        await changes.poll()
        try:
            yield Process(rates, changes, threads)
        finally:
            await rates.close()
            threads.close()

    async def ask(self, process: Process, tokens: int = 1, face: Face = Face.SMALL) -> str:
        """One request from beginning to end: "" if it was let in, or the limit that refused it."""
        visit = await process.rates.visit(self.caller, face)
        try:
            with await visit.enter(tokens):
                await asyncio.sleep(0)
        except RateLimited as error:
            return str(error.field)
        return ""


Processes = Callable[[], AbstractAsyncContextManager[Process]]


@pytest.fixture
def deployment(redis_url: str, namespace: str) -> Deployment:
    return Deployment(redis_url, namespace)
