"""A call through a closed breaker beside one through pybreaker's own, in memory."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

import pybreaker

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

CALLS = 50_000
US_PER_S = 1_000_000

CONSECUTIVE = BreakerPolicy()
RATED = BreakerPolicy(rate=0.5, slow_s=10.0)


def run(bench: Bench) -> Iterator[Row]:
    """Each of ours in turns with its reference; the guarded function does nothing."""
    peer = pybreaker.CircuitBreaker()
    shared = Breakers.on(bench.servers.redis_url, bench.name)
    shared.start()
    try:
        contenders = (
            ("breaker", Breaker("plain", CONSECUTIVE), Target("ratio", "≤", 1.0)),
            ("breaker_rate", Breaker("rated", RATED), None),
            ("breaker_shared", shared.get("node", "shared", CONSECUTIVE), None),
        )
        for name, breaker, target in contenders:
            pairs = bench.pairs(lambda breaker=breaker: _calls_us(breaker.call), lambda: _calls_us(peer.call))  # type: ignore[misc]  # bound now
            yield Row(
                name,
                pairs.value,
                "µs per closed call",
                "pybreaker, in memory",
                pairs.reference_value,
                pairs.ratio,
                target,
            )
    finally:
        shared.close()
    plain = Breaker("awaited", CONSECUTIVE)
    pairs = bench.pairs(lambda: asyncio.run(_awaits_us(plain.calling)), lambda: asyncio.run(_awaits_us(nullcontext)))
    yield Row(
        "breaker_asyncio",
        pairs.value,
        "µs per closed async with",
        "an empty context manager",
        pairs.reference_value,
        pairs.ratio,
    )


def _nothing() -> None:
    """What is guarded."""


async def _nothing_async() -> None:
    """What is guarded, awaited."""


def _calls_us(call: Callable[[Callable[[], None]], None]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call(_nothing)
    return (time.perf_counter() - started) * US_PER_S / CALLS


async def _awaits_us(guard: Callable[[], AbstractAsyncContextManager[object]]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        async with guard():
            await _nothing_async()
    return (time.perf_counter() - started) * US_PER_S / CALLS
