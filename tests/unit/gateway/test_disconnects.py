"""Work for clients that leave: it is ended, and nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from backend.gateway.disconnects import ClientGone, while_connected

Receive = Callable[[], Awaitable[Message]]


def request(receive: Receive) -> Request:
    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def leaving(at: asyncio.Event) -> Receive:
    async def receive() -> Message:
        await at.wait()
        return {"type": "http.disconnect"}

    return receive


def test_work_for_a_client_that_stays_is_done() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    async def scenario() -> None:
        assert await while_connected(request(leaving(asyncio.Event())), work()) == 7
        assert len(asyncio.all_tasks()) <= 2, "nobody watches any more"

    asyncio.run(scenario())


def test_work_for_a_client_that_leaves_is_cancelled_and_what_follows_is_not() -> None:
    ended = False

    async def scenario() -> None:
        leaves = asyncio.Event()

        async def work() -> None:
            nonlocal ended
            leaves.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended = True

        with pytest.raises(ClientGone):
            await while_connected(request(leaving(leaves)), work())
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert ended


def test_a_client_that_leaves_as_the_work_ends_cancels_nothing() -> None:
    async def scenario() -> None:
        leaves = asyncio.Event()

        async def work() -> int:
            await asyncio.sleep(0)
            leaves.set()
            return 7

        assert await while_connected(request(leaving(leaves)), work()) == 7
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_task_that_others_cancel_is_cancelled_even_if_the_client_left_too() -> None:
    async def scenario() -> None:
        leaves, begun = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(while_connected(request(leaving(leaves)), work()))
        await begun.wait()
        leaves.set()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
