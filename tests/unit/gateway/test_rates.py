"""Lines of keys in one process that has no Redis: bounded in number, forgotten in time, and never open or shut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound, Unavailable
from backend.domain.ids import AccountId, KeyId
from backend.domain.rates import DEFAULTS, Face, Limits
from backend.gateway.changes import Changes
from backend.gateway.errors import RateLimited
from backend.gateway.rates import rates as rates_module
from backend.gateway.rates.metrics import RateMetrics
from backend.gateway.rates.permits import BREAKER_POLICY, Permits
from backend.gateway.rates.rates import FORGOTTEN_S, Rates, process_name
from backend.gateway.threads import Threads
from backend.messaging.breakers import Breakers
from backend.storage.ids import new_id

NOWHERE = "redis://127.0.0.1:1/0"


class Clock:
    s = 1_000.0

    def __call__(self) -> float:
        return self.s


def somebody() -> Principal:
    return Principal(KeyId(new_id()), AccountId(new_id()), Role.USER)


class Alone:
    """A process's limits, and what they are."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.clock = Clock()
        self.loads = 0

    def load(self, _: KeyId) -> dict[Face, Limits]:
        self.loads += 1
        return dict.fromkeys(Face, self.limits)

    @asynccontextmanager
    async def rates(self) -> AsyncIterator[Rates]:
        threads = Threads(1, 10)
        permits = Permits(NOWHERE, "x", process_name(), Breakers().get("rates", "redis", BREAKER_POLICY, shared=False))
        made = Rates(self.load, permits, threads, Changes(lambda: {"rates": 1}, threads), self.clock)
        try:
            yield made
        finally:
            await made.close()
            threads.close()


def play(limits: Limits, scenario: Callable[[Alone, Rates], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        alone = Alone(limits)
        async with alone.rates() as rates:
            await scenario(alone, rates)

    asyncio.run(run())


async def ask(rates: Rates, principal: Principal, tokens: int = 1) -> bool:
    visit = await rates.visit(principal, Face.SMALL)
    try:
        with await visit.enter(tokens):
            return True
    except RateLimited:
        return False


def test_without_redis_a_key_has_its_minute_and_no_more_and_its_limits_are_read_once() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        assert [await ask(rates, caller) for _ in range(12)].count(True) == 10
        assert alone.loads == 1
        assert rates.permits.alone
        assert rates.admitted[Face.SMALL] == 10
        assert rates.refused[Face.SMALL, "requests_per_minute"] == 2
        assert await ask(rates, somebody()), "another key has its own"

    play(Limits(10, 1_000, 5), scenario)


def test_the_operator_at_the_machine_has_what_everybody_has() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        visit = await rates.visit(Principal(None, AccountId(new_id()), Role.ADMIN), Face.LARGE)
        with await visit.enter(1):
            assert dict(visit.headers())[b"ratelimit-limit"] == b"%d" % DEFAULTS[Face.LARGE].requests_per_minute
        assert alone.loads == 0

    play(Limits(1, 1, 1), scenario)


def test_more_at_once_than_allowed_are_refused_until_one_leaves() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        visits = [await rates.visit(caller, Face.SMALL) for _ in range(3)]
        await visits[0].enter(1)
        await visits[1].enter(1)
        with pytest.raises(RateLimited) as refused:
            await visits[2].enter(1)
        assert (refused.value.field, refused.value.accepted, refused.value.retry_after_s) == (
            "in_flight",
            "at most 2",
            1,
        )
        visits[2].leave()  # it never entered
        visits[0].leave()
        visits[0].leave()
        await visits[2].enter(1)
        with pytest.raises(RateLimited):
            await (await rates.visit(caller, Face.SMALL)).enter(1)

    play(Limits(1_000, 1_000, 2), scenario)


def test_requests_that_come_together_share_a_draw_and_each_gets_its_own_answer() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        asked = await asyncio.gather(*(ask(rates, caller) for _ in range(200)))
        assert asked.count(True) == 100
        assert rates.permits.drawn_alone <= 3

    play(Limits(100, 1_000_000, 1_000), scenario)


def test_requests_that_come_in_the_very_moment_in_which_a_draw_ends_draw_again() -> None:
    async def scenario(_: Alone, rates: Rates) -> None:
        caller = somebody()

        async def a_turn_later() -> bool:
            await asyncio.sleep(0)
            return await ask(rates, caller, 900)

        assert await ask(rates, caller, 1_000), "all of a block, so that the next one draws"
        assert all(await asyncio.gather(ask(rates, caller, 900), a_turn_later(), a_turn_later()))

    play(Limits(6_000, 100_000, 5), scenario)


def test_one_that_leaves_while_it_waits_takes_nothing() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        waiting = [asyncio.create_task(ask(rates, caller)) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert ended[1:] == [True] * 4
        assert await ask(rates, caller)
        assert not await ask(rates, caller)

    play(Limits(5, 1_000, 1_000), scenario)


def test_what_an_idle_line_gives_back_is_there_again_without_redis_too() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        for _ in range(100):  # each with a block of its own
            assert await ask(rates, caller)
            alone.clock.s += 1.0
            await rates.settle(alone.clock.s)
        visit = await rates.visit(caller, Face.SMALL)
        assert int(dict(visit.headers())[b"ratelimit-remaining"]) >= 5_900

    play(Limits(6_000, 1_000_000, 1_000), scenario)


def test_lines_that_nobody_came_to_for_long_are_forgotten_and_others_are_not() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        old, busy = somebody(), somebody()
        await ask(rates, old)
        staying = await rates.visit(busy, Face.SMALL)
        await staying.enter(1)
        alone.clock.s += FORGOTTEN_S + 1
        await ask(rates, somebody())
        for _ in range(3):
            await rates.settle(alone.clock.s)
        assert len(rates._lines) == 2
        staying.leave()

    play(Limits(5, 1_000, 1_000), scenario)


def test_a_key_that_has_spent_its_minute_is_not_forgotten_before_it_is_over() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        caller = somebody()
        while await ask(rates, caller):
            continue
        for _ in range(5):
            alone.clock.s += 1.0
            await rates.settle(alone.clock.s)
        assert not await ask(rates, caller)

    play(Limits(5, 1_000, 1_000), scenario)


def test_there_are_so_many_lines_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "LINES_MAX", 3)

    async def scenario(alone: Alone, rates: Rates) -> None:
        for _ in range(10):
            assert await ask(rates, somebody())
            assert len(rates._lines) <= 3
        staying = [await rates.visit(somebody(), Face.SMALL) for _ in range(3)]
        for visit in staying:
            await visit.enter(1)
        with pytest.raises(Unavailable) as refused:
            await ask(rates, somebody())
        assert refused.value.code == "overloaded"
        for visit in staying:
            visit.leave()

    play(Limits(5, 1_000, 1_000), scenario)


def test_limits_that_cannot_be_known_let_nobody_in() -> None:
    async def scenario(alone: Alone, rates: Rates) -> None:
        def away(_: KeyId) -> dict[Face, Limits]:
            raise NotFound("key", "x")

        rates._load = away
        with pytest.raises(NotFound):
            await ask(rates, somebody())

    play(Limits(5, 1_000, 1_000), scenario)


def test_each_figure_is_exposed_from_the_start_and_none_without_a_gateway() -> None:
    assert list(RateMetrics(lambda: None).collect()) == []

    async def scenario(alone: Alone, rates: Rates) -> None:
        await ask(rates, somebody())
        told = {sample.name: sample for metric in RateMetrics(lambda: rates).collect() for sample in metric.samples}
        assert told["swarmex_rate_alone"].value == 1.0
        assert told["swarmex_rate_drawn_alone_total"].value == 1.0
        assert {"swarmex_rate_admitted_total", "swarmex_rate_refused_total", "swarmex_rate_redis_trips_total"} <= set(
            told
        )

    play(Limits(5, 1_000, 1_000), scenario)
