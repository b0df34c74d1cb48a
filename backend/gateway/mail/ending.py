"""How tasks that wait for Redis are ended: the client may lose a cancellation in its own time-outs: it is repeated."""

import asyncio

AGAIN_S = 0.1
TRIES_MAX = 50


async def end(*tasks: "asyncio.Task[None] | None") -> None:
    """Cancel these and return when they have ended, well or not; after TRIES_MAX tries they are left to themselves."""
    left = {task for task in tasks if task is not None and not task.done()}
    for _ in range(TRIES_MAX):
        if not left:
            return
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
