"""Which run of a model goes next on this machine: the most urgent of those that are ready, whoever brings them.

Real-time requests and work from the queues meet here. A machine does as many runs at once as it has cores for; see
`may_begin` for the few beyond that.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Protocol

from backend.domain.urgency import ITEMS_RANK, Urgency, may_begin

RUNS_MAX = 4
SPARE_RUNS = 2
NOTHING = ITEMS_RANK + 1  # behind every rank
HELD_UP_S_MAX = 5.0  # so long work from the queues waits for runs that do not end; then it runs beside them


class Run(Protocol):
    """Something to be run in pieces, one after the other or some of them at once."""

    def urgency(self) -> Urgency | None:
        """Of its next piece; None when there is none any more."""
        ...

    def begin(self) -> int | None:
        """Begin its next piece elsewhere and return at once: its rank, or None if there is nothing to begin.

        This may not ask the queue anything.
        """
        ...

    def again(self) -> bool:
        """Whether one more piece is to begin as soon as there is room, too."""
        ...


class RunQueue:
    """Safe for several threads. What began must be ended, as often as it began."""

    def __init__(self, runs: int | None = None, spare: int = SPARE_RUNS) -> None:
        """`runs` is how many this machine does at once well: by default one a core."""
        self._runs = runs or min(RUNS_MAX, _cores())
        self._spare = spare
        self._lock = Lock()
        self._ready: dict[Run, None] = {}  # a model that requests wait for, each once, and the work from the queues
        self._running: dict[Run, list[int]] = {}  # the ranks of its pieces
        self._ranks: list[int] = []  # of all that runs
        self._top = NOTHING  # the smallest of these

    @property
    def most(self) -> int:
        """How many pieces run at once at most."""
        return self._runs + self._spare

    def ask(self, run: Run) -> None:
        """Have its next piece begin as soon as there is room and nothing more urgent; once, however often asked."""
        with self._lock:
            if not self._ready and len(self._ranks) < self._runs:  # then nothing is to be compared with it
                self._begin(run)
            else:
                self._ready[run] = None
            if self._ready:
                self._fill()

    def end(self, run: Run) -> None:
        """A piece that began is over."""
        with self._lock:
            ranks = self._running[run]
            self._ranks.remove(ranks.pop())
            self._top = min(self._ranks, default=NOTHING)
            if not ranks:
                del self._running[run]
            if self._ready:
                self._fill()

    def is_running(self, run: Run) -> bool:
        """Whether a piece of it runs."""
        return run in self._running

    def outranks_all(self, rank: int) -> bool:
        """Whether this goes before everything that runs."""
        return rank < self._top

    @contextmanager
    def room(self, urgency: Urgency) -> Iterator[None]:
        """Wait for room, HELD_UP_S_MAX at most, and take it for the length of the block, which runs in this thread."""
        run = _Blocked(urgency)
        self.ask(run)
        took = run.begun.wait(HELD_UP_S_MAX) or not self._withdrawn(run)
        try:
            yield
        finally:
            if took:
                self.end(run)

    def _withdrawn(self, run: Run) -> bool:
        """Whether it was still waiting, which it does no longer."""
        with self._lock:
            return self._ready.pop(run, self) is None

    def _fill(self) -> None:
        """Begin what may, the most urgent first; who may not keeps none of the others from it."""
        while self._ready and len(self._ranks) < self.most:
            run = self._next()
            if run is None:
                return
            del self._ready[run]
            self._begin(run)

    def _begin(self, run: Run) -> None:
        if (rank := run.begin()) is None:
            return
        self._running.setdefault(run, []).append(rank)
        self._ranks.append(rank)
        self._top = min(self._top, rank)
        if run.again():
            self._ready[run] = None

    def _next(self) -> Run | None:
        """The most urgent that may begin; what has nothing to run any more is forgotten."""
        ready = []
        for run in list(self._ready):
            if (urgency := run.urgency()) is None:
                del self._ready[run]
            else:
                ready.append((urgency, run))
        if len(ready) > 1:
            ready.sort(key=_urgency)
        for urgency, run in ready:
            alone = urgency.rank < ITEMS_RANK and run not in self._running
            if may_begin(urgency.rank, self._ranks, self._runs, self._spare, alone=alone):
                return run
        return None


def _cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _urgency(ready: tuple[Urgency, Run]) -> Urgency:
    return ready[0]


class _Blocked:
    """A thread that waits."""

    def __init__(self, urgency: Urgency) -> None:
        self.begun = Event()
        self._urgency = urgency

    def urgency(self) -> Urgency:
        return self._urgency

    def begin(self) -> int:
        self.begun.set()
        return self._urgency.rank

    def again(self) -> bool:
        return False
