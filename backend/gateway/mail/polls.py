"""Nodes that wait for real-time requests: any number of them on one connection to Redis, and no thread for any."""

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress

import structlog

from backend.domain.ids import NodeId
from backend.domain.mail import MailedAnswer, MailedRequest
from backend.gateway.errors import Busy, code_of
from backend.gateway.mail.ending import end
from backend.gateway.mail.limits import LOOK_EVERY_S, POLLS_MAX, POLLS_PER_NODE_MAX, RETRY_S
from backend.gateway.mail.mailbox import NOT_HANDED_OVER, Mailbox, MailboxAway

log = structlog.get_logger(__name__)


class MailPolls:
    """Used inside one event loop. A request may be left by any process: all of them hear of it, one node fetches it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._bells: dict[NodeId, asyncio.Event] = {}
        self._waiting: Counter[NodeId] = Counter()
        self._listener: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        self._closed = False

    async def fetch(self, node: NodeId, places: int, wait_s: float) -> list[MailedRequest]:
        """Requests for the node, as soon as there are any; none after `wait_s`. Raises Busy when too many wait.

        Cancelled, it hands back what it has: whoever would have run it is gone.
        """
        if self._waiting.total() >= POLLS_MAX or self._waiting[node] >= POLLS_PER_NODE_MAX:
            raise Busy("too many polls wait", code="too_many_polls", accepted=f"{POLLS_PER_NODE_MAX} a node")
        self._listen()
        until = asyncio.get_running_loop().time() + wait_s
        bell = self._bells.setdefault(node, asyncio.Event())
        self._waiting[node] += 1
        try:
            while True:
                bell.clear()  # before the look: whatever comes after it rings again
                found = await self._fetched(node, places)
                left_s = until - asyncio.get_running_loop().time()
                if found or left_s <= 0 or self._closed:
                    return found
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, LOOK_EVERY_S)):
                        await bell.wait()
        finally:
            self._waiting[node] -= 1
            if not self._waiting[node]:
                del self._waiting[node]
                self._bells.pop(node, None)

    async def close(self) -> None:
        """Answer all who wait, and listen no more."""
        self._closed = True
        self._ring(list(self._bells))
        await asyncio.gather(*self._returning, return_exceptions=True)
        await end(self._listener)

    async def _fetched(self, node: NodeId, places: int) -> list[MailedRequest]:
        fetching = asyncio.ensure_future(self._mailbox.fetch(node, places))
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            task = asyncio.create_task(self._hand_back(node, fetching))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
            raise

    async def _hand_back(self, node: NodeId, fetching: "asyncio.Future[list[MailedRequest]]") -> None:
        """Tell those who wait that the node never got their requests."""
        try:
            missed = [MailedAnswer(one.id, NOT_HANDED_OVER, None, None, b"") for one in await fetching]
            await self._mailbox.answer(node, missed)
            self._mailbox.counts.returned += len(missed)
        except MailboxAway as error:  # then they wait for an answer in vain
            log.warning("requests_not_handed_back", code=code_of(error), node_id=str(node))

    def _listen(self) -> None:
        """Begin with the first poll: a market without such nodes pays nothing."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._keep_listening())

    async def _keep_listening(self) -> None:
        while True:
            try:
                async for node in self._mailbox.calls():
                    self._ring(list(self._bells) if node is None else [node])
            except Exception as error:  # of Redis or of the unforeseen: whoever polls would never be woken again
                log.warning("calls_unheard", code=code_of(error), waiting=self._waiting.total())
            await asyncio.sleep(RETRY_S)

    def _ring(self, nodes: Collection[NodeId]) -> None:
        for node in nodes:
            if bell := self._bells.get(node):
                bell.set()
