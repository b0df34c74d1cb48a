"""How many real-time requests a node takes at once, and the threads that run them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

IN_FLIGHT_MAX = 64
THREADS_MAX = 4


class Full(Exception):
    """The node has all the requests that it takes at once."""


class Draining(Exception):
    """The node takes no more requests."""


class Admission:
    """Places for requests, and a bounded pool of threads; made and used inside one event loop."""

    def __init__(self, in_flight_max: int, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self.threads = threads
        self.draining = False
        self.closed = False

    def enter(self) -> None:
        """Take a place, to be given back by `leave`; raises Full, Draining."""
        if self.draining:
            raise Draining
        if self._in_flight >= self._in_flight_max:
            raise Full
        self._in_flight += 1

    def leave(self) -> None:
        """Give a place back."""
        self._in_flight -= 1

    def start(self, job: Callable[[], T], ended: "Callable[[Future[T]], None]") -> None:
        """Run `job` in a thread, as soon as one is free; `ended` is called in the loop. This takes no place."""
        self._pool.submit(job).add_done_callback(lambda future: self._tell(ended, future))

    def submit(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """The job's result to come; cancelling it before it starts frees its place. Raises Full, Draining."""
        self.enter()
        running = self._pool.submit(job)
        # A job whose client has gone counts until its thread is free again.
        running.add_done_callback(lambda future: self._tell(lambda _: self.leave(), future))
        return asyncio.wrap_future(running, loop=self._loop)

    def close(self) -> None:
        """End the threads; jobs that have not started never will."""
        self.closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _tell(self, ended: "Callable[[Future[Any]], None]", future: "Future[Any]") -> None:
        with suppress(RuntimeError):  # a thread that outlives the loop has nobody to tell
            self._loop.call_soon_threadsafe(ended, future)
