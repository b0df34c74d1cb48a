"""Work for clients that leave: it is ended, and nothing else is."""

import asyncio

import pytest
from starlette.types import Scope

from backend.gateway.disconnects import HANGUP_KEY, ClientGone, Hangup, while_connected


def scope(hangup: Hangup) -> Scope:
    return {"type": "http", HANGUP_KEY: hangup}


async def forever() -> None:
    await asyncio.Event().wait()


def test_work_for_a_client_that_stays_is_done() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    async def scenario() -> None:
        assert await while_connected(scope(Hangup()), work()) == 7
        assert await while_connected({"type": "http"}, work()) == 7, "where the server does not tell"

    asyncio.run(scenario())


def test_work_for_a_client_that_leaves_is_cancelled_and_what_follows_is_not() -> None:
    ended = False

    async def scenario() -> None:
        hangup = Hangup()

        async def work() -> None:
            nonlocal ended
            asyncio.get_running_loop().call_soon(hangup.happen)
            try:
                await forever()
            finally:
                ended = True

        with pytest.raises(ClientGone):
            await while_connected(scope(hangup), work())
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert ended


def test_work_for_a_client_that_has_left_is_not_begun() -> None:
    begun = False

    async def scenario() -> None:
        hangup = Hangup()
        hangup.happen()

        async def work() -> None:
            nonlocal begun
            begun = True

        with pytest.raises(ClientGone):
            await while_connected(scope(hangup), work())

    asyncio.run(scenario())
    assert not begun


def test_a_client_that_leaves_as_the_work_ends_cancels_nothing() -> None:
    async def scenario() -> None:
        hangup = Hangup()

        async def work() -> int:
            await asyncio.sleep(0)
            return 7

        assert await while_connected(scope(hangup), work()) == 7
        hangup.happen()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_task_that_others_cancel_is_cancelled_even_if_the_client_left_too() -> None:
    async def scenario() -> None:
        hangup = Hangup()
        task = asyncio.create_task(while_connected(scope(hangup), forever()))
        await asyncio.sleep(0)
        hangup.happen()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_an_end_of_the_connection_is_no_reason_to_swallow_what_others_cancelled() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(while_connected(scope(Hangup()), forever()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
