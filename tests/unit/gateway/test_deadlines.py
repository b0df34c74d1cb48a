"""Time limits that share one timer."""

import asyncio

import pytest

from backend.gateway.deadlines import TICK_S, Deadline, Deadlines
from tests.waiting import PATIENCE_S


def test_what_keeps_its_limit_is_left_alone_and_no_timer_stays() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()
        with deadlines.within(PATIENCE_S) as limit:
            await asyncio.sleep(2 * TICK_S)
        assert not limit.expired
        await asyncio.sleep(3 * TICK_S)
        assert deadlines._timer is None

    asyncio.run(scenario())


def test_what_does_not_is_cancelled_and_told_apart_from_other_cancellations() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()
        with pytest.raises(TimeoutError), deadlines.within(TICK_S) as limit:
            await asyncio.sleep(PATIENCE_S)
        assert limit.expired
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(scenario())


async def moved(limit: Deadline, when_s: float) -> None:
    limit.move(when_s)
    await asyncio.sleep(PATIENCE_S)


def test_a_limit_that_was_moved_holds_at_its_new_time() -> None:
    async def scenario() -> None:
        deadlines, loop = Deadlines(), asyncio.get_running_loop()
        with deadlines.within(TICK_S) as limit:
            limit.move(None)
            await asyncio.sleep(4 * TICK_S)
            limit.move(loop.time() + PATIENCE_S)
            await asyncio.sleep(2 * TICK_S)
        limit = deadlines.within(PATIENCE_S)
        with pytest.raises(TimeoutError), limit:
            await moved(limit, loop.time())

    asyncio.run(scenario())


def test_a_task_that_others_cancel_is_cancelled_even_if_it_is_late_too() -> None:
    async def scenario() -> None:
        deadlines = Deadlines()

        async def late() -> None:
            with deadlines.within(0.0) as limit:
                while not limit.expired:
                    try:
                        await asyncio.sleep(TICK_S)
                    except asyncio.CancelledError:
                        task = asyncio.current_task()
                        assert task is not None
                        task.cancel()
                        await asyncio.sleep(0)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(late())

    asyncio.run(scenario())


def test_an_inner_limit_ends_the_inner_block_only() -> None:
    async def scenario() -> str:
        deadlines = Deadlines()
        with deadlines.within(PATIENCE_S):
            try:
                with deadlines.within(0.0):
                    await asyncio.sleep(PATIENCE_S)
            except TimeoutError:
                await asyncio.sleep(0)
                return "went on"
        return "ended"

    assert asyncio.run(scenario()) == "went on"
