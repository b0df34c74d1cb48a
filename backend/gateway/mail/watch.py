"""Looks after requests that were left for nodes: which still wait, and whether those who fetched the others live.

A node that dies with a request in its hands cannot say so, and nothing breaks that would tell: its heartbeat ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from backend.domain.errors import Unavailable
from backend.domain.ids import NodeId
from backend.gateway.errors import code_of
from backend.gateway.mail.ending import end
from backend.gateway.mail.limits import SILENT_LOOKS, WATCH_EVERY_S

Living = Callable[[Collection[NodeId]], Awaitable[Collection[NodeId]]]
Waiting = Callable[[Sequence[tuple[NodeId, str]]], Awaitable[Collection[str]]]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Open:
    node: NodeId
    left_s: float
    fetched: bool = False
    silent: int = 0  # looks in a row at which its node gave no sign of life


@dataclass(frozen=True, slots=True)
class OpenMail:
    """Requests of this process that are not answered, and for how long the oldest of each kind has been there."""

    waiting: int
    fetched: int
    oldest_waiting_s: float
    oldest_fetched_s: float


class Watch:
    """Used in one event loop. `waiting` tells which requests were not fetched, `living` which nodes are alive.

    `gone` is called for a request whose node has been silent for SILENT_LOOKS looks since it fetched it.
    """

    def __init__(
        self,
        waiting: Waiting,
        living: Living,
        gone: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = waiting
        self._living = living
        self._gone = gone
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._some = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def left(self, request: str, node: NodeId) -> None:
        """Look after this one from now on."""
        self._open[request] = _Open(node, self._clock())
        self._some.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())

    def over(self, request: str) -> None:
        """Whatever became of it, it needs no looking after."""
        self._open.pop(request, None)

    def figures(self) -> OpenMail:
        """What is open, as of the last look; from any thread."""
        now_s, found = self._clock(), list(self._open.values())
        ages = {kind: [now_s - one.left_s for one in found if one.fetched is kind] for kind in (False, True)}
        return OpenMail(len(ages[False]), len(ages[True]), max(ages[False], default=0.0), max(ages[True], default=0.0))

    async def close(self) -> None:
        """Look no more."""
        await end(self._looking)

    async def look(self) -> None:
        """Learn what was fetched, and give up what nobody holds any more; raises what asking does."""
        asked = [(one.node, request) for request, one in self._open.items() if not one.fetched]
        waiting = await self._waiting(asked) if asked else ()
        for _, request in asked:
            if request not in waiting and (one := self._open.get(request)) is not None:
                one.fetched = True
        holders = {one.node for one in self._open.values() if one.fetched}
        living = await self._living(holders) if holders else ()
        for request, one in list(self._open.items()):
            one.silent = one.silent + 1 if one.fetched and one.node in holders and one.node not in living else 0
            if one.silent >= SILENT_LOOKS:
                self.over(request)
                self._gone(request)

    async def _keep_looking(self) -> None:
        while True:
            if not self._open:
                self._some.clear()
                await self._some.wait()
            await asyncio.sleep(WATCH_EVERY_S)  # most are answered before the first look
            try:
                await self.look()
            except Unavailable as error:  # of whom nothing is known, nothing is said
                log.info("mail_unwatched", code=code_of(error), open=len(self._open))
            except Exception as error:  # of the unforeseen: requests would be looked after no more
                log.warning("mail_unwatched", error=repr(error), open=len(self._open))
