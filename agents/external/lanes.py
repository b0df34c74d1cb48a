"""Several units at once on one server: it has many slots, and whoever waits for it needs no core meanwhile."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock

from agents.inference.polling import PollingConsumer
from agents.inference.runner import UnitReport
from backend.domain.ids import UnitId

POLL_S = 1.0  # without a bell

RunUnit = Callable[[UnitId], UnitReport]


class Feed:
    """Hands out units one by one to whoever polls, as soon as the bell rings; safe for several threads."""

    def __init__(self, units: Callable[[], Sequence[UnitId]], bell: Event) -> None:
        self._units = units
        self._bell = bell
        self._ready: deque[UnitId] = deque()
        self._more = False  # of a large unit a claim gives a part, so it is asked again until there is nothing
        self._lock = Lock()

    def poll(self) -> list[UnitId]:
        """A unit to claim; none after POLL_S."""
        with self._lock:
            if not self._ready and (self._more or self._bell.is_set()):
                self._bell.clear()
                self._ready.extend(self._units())
                self._more = bool(self._ready)
            if self._ready:
                return [self._ready.popleft()]
        self._bell.wait(POLL_S)
        return []


class Lanes:
    """As many consumers as there are runners, which one starts and stops as one."""

    def __init__(self, feed: Feed, runs: Sequence[RunUnit]) -> None:
        self._consumers = [PollingConsumer(feed, run) for run in runs]

    def start(self) -> None:
        """Begin to ask; returns at once."""
        for consumer in self._consumers:
            consumer.start()

    def stop(self) -> None:
        """Begin no more units; returns at once."""
        for consumer in self._consumers:
            consumer.stop()

    def join(self, timeout_s: float) -> bool:
        """Whether no unit runs any more, waiting up to `timeout_s` for it."""
        deadline = time.monotonic() + timeout_s
        return all(consumer.join(max(0.0, deadline - time.monotonic())) for consumer in self._consumers)
