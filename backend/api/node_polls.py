"""Nodes that wait for work: any number of them on one look at the database a moment, and no thread for any."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

import structlog

from backend.domain.events import Topic
from backend.domain.ids import NodeId
from backend.gateway.errors import Busy, code_of
from backend.gateway.hints import Hints
from backend.gateway.threads import Threads
from backend.messaging.ports import EventBus

POLLS_MAX = 2_000  # that wait at once in one process
POLLS_PER_NODE_MAX = 4
LOOK_EVERY_S = 0.5  # without a hint from the bus
LOOK_LEAST_S = 0.05  # between two looks, however many hints come

T = TypeVar("T")

log = structlog.get_logger(__name__)


class NodePolls:
    """Used inside one event loop; what it looks with runs in the gateway's threads."""

    def __init__(self, look: Callable[[Collection[str]], Collection[str]], threads: Threads, bus: EventBus) -> None:
        self._look = look
        self._threads = threads
        self._bus = bus
        self._bells: dict[str, asyncio.Event] = {}
        self._waiting: Counter[str] = Counter()
        self._by_node: Counter[NodeId] = Counter()
        self._hint = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._hints: Hints | None = None
        self._closed = False

    async def wait(self, node_id: NodeId, queue: str, timeout_s: float) -> None:
        """Return when the queue has something to claim, or after `timeout_s`; raises Busy when too many wait."""
        if self._waiting.total() >= POLLS_MAX or self._by_node[node_id] >= POLLS_PER_NODE_MAX:
            raise Busy("too many polls wait", code="too_many_polls", accepted=f"{POLLS_PER_NODE_MAX} a node")
        if timeout_s <= 0 or self._closed:
            return
        bell = self._bells.setdefault(queue, asyncio.Event())
        self._waiting[queue] += 1
        self._by_node[node_id] += 1
        self._start()
        self._hint.set()  # who comes now wants to know what is there already
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await bell.wait()
        finally:
            _less(self._waiting, queue)
            _less(self._by_node, node_id)
            if not self._waiting[queue]:
                self._bells.pop(queue, None)

    async def close(self) -> None:
        """Answer all who wait, and look no more."""
        self._closed = True
        for bell in self._bells.values():
            bell.set()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._hints is not None:
            await self._hints.close()

    def _start(self) -> None:
        """Begin to look with the first poll: a market without remote nodes pays nothing."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())
            self._hints = Hints(self._bus, (Topic.UNITS_READY,), lambda _: self._hint.set())

    async def _keep_looking(self) -> None:
        while not self._closed:
            if not self._waiting.total():
                await self._hint.wait()
            self._hint.clear()
            try:
                for queue in await self._threads.run(lambda: self._look(list(self._bells))):
                    if (bell := self._bells.pop(queue, None)) is not None:
                        bell.set()
            except Exception as error:  # the coordinator's silence is waited out
                log.warning("polls_unanswered", code=code_of(error), waiting=self._waiting.total())
            await asyncio.sleep(LOOK_LEAST_S)
            with suppress(TimeoutError):
                # Not `wait_for`: before Python 3.12 it can lose a cancellation that comes with the hint.
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._hint.wait()


def _less(counter: Counter[T], name: T) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
