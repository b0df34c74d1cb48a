"""The gateway's few threads: the only way from its event loop to the (synchronous) services."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from backend.domain.errors import Unavailable
from backend.gateway.limits import LOOKUP_TIMEOUT_S, LOOKUPS_WAITING_MAX, THREADS_MAX

T = TypeVar("T")


class Threads:
    """A thread pool with a bounded queue and a time-out on every call."""

    def __init__(
        self, threads: int = THREADS_MAX, waiting_max: int = LOOKUPS_WAITING_MAX, timeout_s: float = LOOKUP_TIMEOUT_S
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gateway")
        self._places = threads + waiting_max
        self._timeout_s = timeout_s

    async def run(self, call: Callable[[], T], timeout_s: float | None = None) -> T:
        """The result of `call`; raises Unavailable when too many wait or it takes longer than `timeout_s`."""
        return await self.within(self.start(call), timeout_s)

    def start(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """What `call` will come to, for who has to know its end however late; raises Unavailable when too many wait."""
        if self._places <= 0:
            raise Unavailable("too many look-ups are waiting", code="overloaded")
        self._places -= 1
        loop = asyncio.get_running_loop()
        # In the caller's context: what it does there belongs to the same trace.
        future = loop.run_in_executor(self._pool, copy_context().run, call)
        future.add_done_callback(self._leave)
        return future

    async def within(self, call: "asyncio.Future[T]", timeout_s: float | None = None) -> T:
        """The result of a call that was started; raises Unavailable when it takes longer.

        A call that timed out goes on and keeps its place until it ends: the pool stays bounded.
        """
        try:
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                return await asyncio.shield(call)
        except TimeoutError:
            raise Unavailable("the coordinator does not answer", code="coordinator_unreachable") from None

    def _leave(self, future: "asyncio.Future[T]") -> None:
        self._places += 1
        if not future.cancelled():
            future.exception()  # read, so that a failure after the time-out is not reported as forgotten

    def close(self) -> None:
        """Let the calls that run come to their end, and take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
