"""A gate for so many at once: who waits is let in by tier, and a place is never lost with somebody who leaves."""

import asyncio
from collections.abc import Awaitable, Callable

from backend.domain.tiers import TierName
from backend.gateway.routing.gate import Gate
from tests.waiting import PATIENCE_S


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await steps()

    asyncio.run(bounded())


def test_those_who_wait_are_let_in_by_tier_and_those_of_one_tier_as_they_came() -> None:
    async def steps() -> None:
        gate = Gate(2)
        let_in: list[str] = []

        async def pass_through(tier: TierName, name: str) -> None:
            with await gate.place(tier):
                let_in.append(name)
                await asyncio.sleep(0)

        await gate.place(TierName.SMALL)
        await gate.place(TierName.SMALL)
        tasks = [asyncio.create_task(pass_through(tier, f"{tier} {n}")) for n in (1, 2) for tier in TierName]
        await asyncio.sleep(0)
        assert let_in == []
        gate.leave()
        await asyncio.gather(*tasks)
        assert let_in == [f"{tier} {n}" for tier in reversed(TierName) for n in (1, 2)]

    run(steps)


def test_who_leaves_while_waiting_takes_no_place_along() -> None:
    async def steps() -> None:
        gate = Gate(1)
        await gate.place(TierName.MEDIUM)
        leaving, staying = (asyncio.create_task(gate.place(TierName.MEDIUM)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        gate.leave()
        await staying

    run(steps)


def test_who_leaves_at_the_moment_when_its_turn_comes_hands_it_on() -> None:
    async def steps() -> None:
        for first_cancelled in (True, False):
            gate = Gate(1)
            await gate.place(TierName.MEDIUM)
            leaving, staying = (asyncio.create_task(gate.place(TierName.MEDIUM)) for _ in range(2))
            await asyncio.sleep(0)
            for step in (leaving.cancel, gate.leave) if first_cancelled else (gate.leave, leaving.cancel):
                step()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
            await staying
            gate.leave()
            await gate.place(TierName.MEDIUM)

    run(steps)


def test_many_who_leave_at_the_same_moment_make_no_places() -> None:
    async def steps() -> None:
        gate = Gate(64)

        async def held() -> None:
            with await gate.place(TierName.MEDIUM):
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(held()) for _ in range(2_000)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for _ in range(64):
            await gate.place(TierName.SMALL)
        late = asyncio.create_task(gate.place(TierName.SMALL))
        await asyncio.sleep(0)
        assert not late.done()
        gate.leave()
        await late

    run(steps)
