"""How many real-time requests a node takes at once, and the threads that run them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

IN_FLIGHT_MAX = 64
THREADS_MAX = 4


class Full(Exception):
    """The node has all the requests that it takes at once."""


class Draining(Exception):
    """The node takes no more requests."""


class Admission:
    """Runs jobs in a bounded pool of threads; made and used inside one event loop."""

    def __init__(self, in_flight_max: int, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self.draining = False

    def submit(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """The job's result to come; cancelling it before it starts frees its place. Raises Full, Draining."""
        if self.draining:
            raise Draining
        if self._in_flight >= self._in_flight_max:
            raise Full
        self._in_flight += 1
        running = self._pool.submit(job)
        running.add_done_callback(self._ended)
        return asyncio.wrap_future(running, loop=self._loop)

    def _ended(self, _running: "Future[Any]") -> None:
        # A job whose client has gone counts until its thread is free again.
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._in_flight -= 1

    def close(self) -> None:
        """End the threads; jobs that have not started never will."""
        self._pool.shutdown(wait=False, cancel_futures=True)
