"""A request whose client has left is not worth its node's time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Scope

T = TypeVar("T")

HANGUP_KEY = "swarmex.hangup"  # where a request finds the end of its connection


class ClientGone(Exception):
    """The client closed the connection before it was answered; nobody is left to tell."""


class Hangup:
    """The end of one connection, as it concerns the request that is being answered there.

    To wait for it in a task of its own, as ASGI has it, would cost every request a twentieth of the gateway's time.
    """

    __slots__ = ("_task", "happened")

    def __init__(self) -> None:
        self.happened = False  # nobody is left to be answered
        self._task: asyncio.Task[Any] | None = None

    def begin(self, task: "asyncio.Task[Any]") -> bool:
        """That task works on an answer from now on; False if nobody is left to be answered."""
        self._task = task
        return not self.happened

    def end(self) -> None:
        """Nobody works on an answer any more."""
        self._task = None

    def happen(self) -> None:
        """The connection is closed: work on its answer is cancelled."""
        self.happened = True
        if self._task is not None:
            self._task.cancel()


async def while_connected(scope: Scope, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client disconnects; raises ClientGone then.

    Where the server does not tell of that (`HANGUP_KEY` in the scope), nothing is ever cancelled.
    """
    hangup: Hangup | None = scope.get(HANGUP_KEY)
    if hangup is None:
        return await work
    task = asyncio.current_task()
    assert task is not None, "only tasks can be cancelled"
    before = task.cancelling()
    if not hangup.begin(task):
        work.close()
        raise ClientGone
    try:
        return await work
    except asyncio.CancelledError:
        if hangup.happened and task.uncancel() <= before:  # who else cancelled the task is not to be disappointed
            raise ClientGone from None
        raise
    finally:
        hangup.end()
