"""Orders for leases that nobody waits for any more: they are given up aside, by the ids that this gateway made."""

import asyncio
from collections.abc import Callable

import structlog

from backend.domain.errors import SwarmexError
from backend.domain.ids import OrderId
from backend.gateway.errors import code_of
from backend.gateway.limits import LEFTOVER_PAUSES_S, LEFTOVERS_MAX
from backend.gateway.threads import Threads

UNSURE = "coordinator_unreachable"  # of what failed so nobody knows whether it was written

log = structlog.get_logger(__name__)

GiveUp = Callable[[OrderId], bool]


class Leftovers:
    """What could not be given up here settlement ends when its first window, or its gateway's roll, is over."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, placing: "asyncio.Future[object]", order_id: OrderId, give_up: GiveUp) -> None:
        """Give an order up once `placing`, which may still be under way, has ended; nothing if it wrote nothing.

        `give_up` runs in a thread and tells whether there is such an order.
        """
        if _wrote_nothing(placing):
            return
        if len(self._tasks) >= LEFTOVERS_MAX:
            log.warning("session_not_given_up", order_id=str(order_id), code="too_many")
            return
        task = asyncio.create_task(self._give_up(placing, order_id, give_up))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Return when all are given up; whoever waits for it has a time-out."""
        await asyncio.gather(*self._tasks)

    async def _give_up(self, placing: "asyncio.Future[object]", order_id: OrderId, give_up: GiveUp) -> None:
        await asyncio.wait([placing])  # the database's own time-outs end it
        if _wrote_nothing(placing):
            return
        code = "unknown_order"
        for pause_s in LEFTOVER_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                if await self._threads.run(lambda: give_up(order_id)):
                    return
            except Exception as error:
                code = code_of(error)
        log.warning("session_not_given_up", order_id=str(order_id), code=code)


def _wrote_nothing(placing: "asyncio.Future[object]") -> bool:
    """Whether it has ended and was refused, or never begun."""
    if not placing.done():
        return False
    if placing.cancelled():
        return True
    error = placing.exception()
    return isinstance(error, SwarmexError) and error.code != UNSURE
