"""Calls through a breaker in every style that it offers, and a clock that stands still."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backend.messaging.breaker import Breaker

Work = Callable[[], object]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


class Down(Exception):
    """What a dependency that is down raises."""


def good() -> str:
    return "good"


def bad() -> str:
    raise Down


@dataclass(frozen=True)
class Style:
    """One way to call; `run` does the work and returns its result, or raises."""

    name: str
    run: Callable[[Breaker, Work], object]


def _called(breaker: Breaker, work: Work) -> object:
    return breaker.call(work)


def _in_block(breaker: Breaker, work: Work) -> object:
    with breaker.calling():
        return work()


def _decorated(breaker: Breaker, work: Work) -> object:
    @breaker
    def guarded() -> object:
        return work()

    return guarded()


def _iterated(breaker: Breaker, work: Work) -> object:
    def generate() -> Iterator[object]:
        yield work()

    return list(breaker.call(generate)).pop()


def _awaited(breaker: Breaker, work: Work) -> object:
    return asyncio.run(breaker.call_async(_asynchronous, work))


def _in_async_block(breaker: Breaker, work: Work) -> object:
    async def scenario() -> object:
        async with breaker.calling():
            return await _asynchronous(work)

    return asyncio.run(scenario())


def _decorated_async(breaker: Breaker, work: Work) -> object:
    @breaker
    async def guarded() -> object:
        return await _asynchronous(work)

    return asyncio.run(guarded())


def _called_and_awaited(breaker: Breaker, work: Work) -> object:
    return asyncio.run(breaker.call(_asynchronous, work))


async def _asynchronous(work: Work) -> object:
    await asyncio.sleep(0)
    return work()


THREADED = (
    Style("call", _called),
    Style("with", _in_block),
    Style("decorator", _decorated),
    Style("generator", _iterated),
)
ASYNCHRONOUS = (
    Style("call_async", _awaited),
    Style("async-with", _in_async_block),
    Style("async-decorator", _decorated_async),
    Style("call-of-coroutine", _called_and_awaited),
)
STYLES = (*THREADED, *ASYNCHRONOUS)
