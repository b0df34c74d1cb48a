"""A request whose client has left is not worth its node's time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed the connection before it was answered; nobody is left to tell."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client disconnects; raises ClientGone then.

    The request's body must have been read: what arrives after it can only be the disconnection.
    """
    task = asyncio.current_task()
    assert task is not None, "only tasks can be cancelled"
    before = task.cancelling()
    left = over = False

    def leave(watch: "asyncio.Task[None]") -> None:
        nonlocal left
        if not (over or watch.cancelled()):
            left = True
            task.cancel()

    watch = asyncio.create_task(_disconnected(request))
    watch.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if left and task.uncancel() <= before:  # who else cancelled the task is not to be disappointed
            raise ClientGone from None
        raise
    finally:
        over = True
        watch.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
