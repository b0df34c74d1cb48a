"""A call through a closed breaker beside one through pybreaker's own, in memory; and how soon others hear of a trip."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from multiprocessing.connection import Connection
from random import Random
from statistics import median

import pybreaker

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_board import TURN_S
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import RECOVERY_MAX_S, BreakerPolicy
from backend.messaging.breakers import Breakers
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

CALLS = 50_000
US_PER_S = 1_000_000
NS_PER_S = 1_000_000_000
TRIPS = 10
TOLD_MAX_S = 1.0
POLL_S = 0.001
ANSWER_TIMEOUT_S = 60.0
SEED = 1

CONSECUTIVE = BreakerPolicy()
RATED = BreakerPolicy(rate=0.5, slow_s=10.0)
TRIPPED = BreakerPolicy(recovery_s=RECOVERY_MAX_S)  # it stays open for as long as anybody looks


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
    told_s = _told_s(bench)
    yield Row(
        "breaker_told",
        told_s,
        f"s from a trip until another process refuses, the median of {TRIPS}",
        "the second that is promised",
        TOLD_MAX_S,
        told_s / TOLD_MAX_S,
        Target("ratio", "≤", 1.0),
    )


def _told_s(bench: Bench) -> float:
    """Median seconds from the call that trips a breaker here until a second process, which calls all the time, refuses.

    Each trip is of another breaker. The first shows that the other process listens, and does not count.
    """
    context = multiprocessing.get_context("spawn")
    answers, theirs = context.Pipe()
    listener = context.Process(target=_refuse, args=(bench.servers.redis_url, bench.name, theirs), daemon=True)
    dice = Random(SEED)
    with closing(Breakers.on(bench.servers.redis_url, bench.name)) as here:
        here.start()
        listener.start()
        try:
            seconds: list[float] = []
            for number in range(TRIPS + 1):
                breaker = here.get("told", str(number), TRIPPED)
                # Not at the same moment of every turn of the thread that tells.
                time.sleep(dice.uniform(0.0, TURN_S))
                tripped_ns = time.monotonic_ns()
                for _ in range(TRIPPED.fail_max or 0):
                    breaker.failure(breaker.before(), ConnectionError())
                if not answers.poll(ANSWER_TIMEOUT_S):
                    raise TimeoutError(f"not within {ANSWER_TIMEOUT_S} s: the other process refuses")
                seconds.append((answers.recv() - tripped_ns) / NS_PER_S)
                bench.step()
        finally:
            listener.terminate()
            listener.join(ANSWER_TIMEOUT_S)
    return median(seconds[1:])


def _refuse(redis_url: str, namespace: str, answers: "Connection[int, object]") -> None:
    """The second process: says when (on the machine's monotonic clock) each breaker in turn refused its first call."""
    there = Breakers.on(redis_url, namespace)
    there.start()
    for number in range(TRIPS + 1):
        breaker = there.get("told", str(number), TRIPPED)
        while _is_let_in(breaker):
            time.sleep(POLL_S)
        answers.send(time.monotonic_ns())


def _is_let_in(breaker: Breaker) -> bool:
    try:
        breaker.call(_nothing)
    except BreakerOpen:
        return False
    return True


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
