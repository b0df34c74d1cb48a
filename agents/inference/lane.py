"""Requests for one model that may share a run, as they wait: whoever is most urgent is in the next one."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from agents.inference.admission import Admission
from agents.inference.execution import Execution
from agents.inference.held_model import HeldModel
from agents.inference.joining import Inputs
from backend.domain.tiers import TierName
from backend.domain.urgency import RANKS, Urgency, Waiting
from backend.domain.work import ModelRef


@dataclass(slots=True, eq=False)
class Asked:
    """One request that waits or runs."""

    inputs: Inputs
    rows: int
    tier: TierName
    answer: "asyncio.Future[Execution]"


Outcomes = list[tuple[Asked, Execution | Exception]]


class Lane:
    """What is asked of a model; safe for several threads, since whichever ends a run begins the next.

    `joins` unless each request is to run by itself; a model that is not `held` yet is loaded by its first run.
    """

    def __init__(
        self,
        key: Hashable,
        ref: ModelRef,
        held: Callable[[], HeldModel | None],
        work: "Callable[[Lane, list[Asked]], Outcomes]",
        ended: "Callable[[Lane, Future[Outcomes]], None]",
        admission: Admission,
        *,
        joins: bool,
    ) -> None:
        self.key = key
        self.ref = ref
        self.held = held
        self.joins = joins
        self.timer: asyncio.TimerHandle | None = None
        self._work = work
        self._ended = ended
        self._admission = admission
        self._waiting: Waiting[Asked] = Waiting()
        self._rows = 0
        self._lock = Lock()

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting

    def add(self, request: Asked, now_s: float) -> None:
        """It waits from now on, for the next run that has room for it."""
        with self._lock:
            self._waiting.add(request, request.tier, now_s)
            self._rows += request.rows

    def withdraw(self, request: Asked) -> bool:
        """Take a request out; False if it runs already."""
        with self._lock:
            if not self._waiting.discard(request):
                return False
            self._rows -= request.rows
            return True

    def urgency(self) -> Urgency | None:
        """Of who is in the next run."""
        with self._lock:
            return self._waiting.urgency()

    def begin(self) -> int | None:
        """Run as many as the model runs well at once: the rank of the most urgent; None without any, or any threads."""
        if self._admission.closed:
            return None
        batch: list[Asked] = []
        self.take(batch)
        if not batch or not self._admission.start(
            lambda: self._work(self, batch), lambda ended: self._ended(self, ended)
        ):
            return None
        return RANKS[batch[0].tier]

    def again(self) -> bool:
        """Whether waiting would make the next run no better: there is a whole one, or nothing that may be joined."""
        if not self._waiting:
            return False
        held = self.held()
        return held is not None and self._rows >= (held.batch.rows if self.joins else 1)

    def take(self, batch: list[Asked]) -> None:
        """Put into a batch who waits, the most urgent first, as far as there is room."""
        if not self._waiting:
            return
        rows = sum(request.rows for request in batch) if batch else 0
        rows_max = held.batch.rows if self.joins and (held := self.held()) else 1
        with self._lock:
            while (first := self._waiting.first()) is not None and (not batch or rows + first.rows <= rows_max):
                self._waiting.discard(first)
                batch.append(first)
                rows += first.rows
                self._rows -= first.rows
