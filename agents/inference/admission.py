"""How many real-time requests a node takes at once, of which tiers, and the threads that run them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any, TypeVar

from agents.inference.run_queue import RunQueue
from backend.domain.tiers import TierName
from backend.domain.urgency import Places

T = TypeVar("T")

THREADS_BEGIN_S = 10.0
IN_FLIGHT_MAX = 96  # of which a gateway may send the 64 of a session, though some are kept for other tiers


class Full(Exception):
    """The node has all the requests that it takes at once, or all of this tier."""


class Draining(Exception):
    """The node takes no more requests."""


class Admission:
    """Places for requests, and a bounded pool of threads; made and used inside one event loop."""

    def __init__(self, in_flight_max: int, runs: RunQueue) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = Places(in_flight_max)
        self._pool = ThreadPoolExecutor(runs.most, thread_name_prefix="inference")
        # All threads begin now: one that could not begin later would take a batch along that is never answered.
        together = Barrier(runs.most)
        for begun in [self._pool.submit(together.wait, THREADS_BEGIN_S) for _ in range(runs.most)]:
            begun.result()
        self.runs = runs
        self.draining = False
        self.closed = False

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return self._places.taken

    def enter(self, tier: TierName = TierName.MEDIUM) -> None:
        """Take a place, to be given back by `leave`; raises Full, Draining."""
        if self.draining:
            raise Draining
        if not self._places.take(tier):
            raise Full

    def leave(self, tier: TierName = TierName.MEDIUM) -> None:
        """Give a place back."""
        self._places.leave(tier)

    def start(self, job: Callable[[], T], ended: "Callable[[Future[T]], None]") -> bool:
        """Run `job` in a thread, as soon as one is free; `ended` is called in the loop. This takes no place.

        Any thread may ask for that. False, and nothing happens, when the threads have ended.
        """
        try:
            running = self._pool.submit(job)
        except RuntimeError:
            return False
        running.add_done_callback(lambda future: self._tell(ended, future))
        return True

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
