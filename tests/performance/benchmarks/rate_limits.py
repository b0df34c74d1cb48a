"""Letting a request in by its key's limits, beside asking Redis for each one; and how often Redis is asked at all."""

import asyncio
import time
from collections.abc import Iterator

from backend.domain.access import Principal, Role
from backend.domain.buckets import Ask
from backend.domain.ids import AccountId, KeyId
from backend.domain.rates import DEFAULTS, Face
from backend.gateway.changes import Changes
from backend.gateway.rates.permits import BREAKER_POLICY, Asked, Buckets, Permits
from backend.gateway.rates.rates import Rates, process_name
from backend.gateway.threads import Threads
from backend.messaging.breakers import Breakers
from backend.storage.ids import new_id
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

REQUESTS = 20_000  # within a minute's limit, with all rounds
TRIPS = 2_000
US_PER_S = 1_000_000
PER = 1_000


def run(bench: Bench) -> Iterator[Row]:
    """In turns: requests of a key that is new each time, and as many draws by themselves."""
    asked: list[float] = []
    pairs = bench.pairs(lambda: asyncio.run(_admitted_us(bench, asked)), lambda: asyncio.run(_drawn_us(bench)))
    yield Row(
        "rate_limit",
        pairs.value,
        "µs to let a request in, tell its headers and let it out",
        "a round trip to Redis for each",
        pairs.reference_value,
        pairs.ratio,
        Target("ratio", "≤", 0.2),
    )
    trips = max(asked)
    yield Row(
        "rate_limit_trips",
        trips,
        f"round trips to Redis for {PER} requests, the most of all rounds",
        "one for each request",
        PER,
        trips / PER,
        Target("value", "≤", 5.0),
    )


def _permits(bench: Bench) -> Permits:
    breaker = Breakers().get("rates", "redis", BREAKER_POLICY, shared=False)
    return Permits(bench.servers.redis_url, bench.name, process_name(), breaker)


async def _admitted_us(bench: Bench, asked: list[float]) -> float:
    threads, permits = Threads(1, 1), _permits(bench)
    rates = Rates(lambda _: DEFAULTS, permits, threads, Changes(dict, threads))
    caller = Principal(KeyId(new_id()), AccountId(new_id()), Role.USER)
    began = time.perf_counter()
    for _ in range(REQUESTS):
        visit = await rates.visit(caller, Face.MEDIUM)
        with await visit.enter(1):
            visit.headers()
    took_s = time.perf_counter() - began
    asked.append(permits.trips * PER / REQUESTS)
    await rates.close()
    threads.close()
    return took_s * US_PER_S / REQUESTS


async def _drawn_us(bench: Bench) -> float:
    limits, permits = DEFAULTS[Face.MEDIUM], _permits(bench)
    one = Asked(limits, Ask(limits.requests_per_minute, need=1), Ask(limits.tokens_per_minute, need=1), 1)
    own, name = Buckets(), str(new_id())
    await permits.draw(name, one, own)
    began = time.perf_counter()
    for _ in range(TRIPS):
        await permits.draw(name, one, own)
    took_s = time.perf_counter() - began
    await permits.close()
    return took_s * US_PER_S / TRIPS
