"""Real-time requests for one model, joined: what gathers while a batch runs is the next one.

A request that finds its model idle runs at once. One that finds it at work waits for the end of that run, or
DELAY_MAX_S at most, and then shares a run with all that came meanwhile; it leaves whenever its client does.
"""

import asyncio
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from agents.inference.admission import Admission
from agents.inference.execution import Execution
from agents.inference.held_model import HeldModel
from agents.inference.joining import Inputs, kind_of, rows_in, run_joined
from agents.inference.models import LoadedModels
from backend.domain.work import ModelRef

DELAY_MAX_S = 0.005  # then it runs beside the batch that is under way, in another thread

Outcomes = list["tuple[_Request, Execution | Exception]"]


@dataclass(slots=True, eq=False)
class _Request:
    """One request that waits or runs."""

    inputs: Inputs
    rows: int
    answer: "asyncio.Future[Execution]"


@dataclass(slots=True, eq=False)
class _Lane:
    """Requests that may share a run; `held` is None for one that is to run by itself."""

    key: Hashable
    ref: ModelRef
    held: HeldModel | None
    waiting: deque[_Request] = field(default_factory=deque)
    running: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class BatchCounts:
    """What ran since the start."""

    runs: int = 0
    requests: int = 0
    rows: int = 0


class Batcher:
    """Runs requests in the threads of `admission`; made and used inside its event loop."""

    def __init__(self, models: LoadedModels, admission: Admission, counts: BatchCounts | None = None) -> None:
        self._models = models
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[Hashable, _Lane] = {}
        self._lock = Lock()  # of what waits: threads take their batch when they start, not before
        self.counts = counts or BatchCounts()

    async def run(self, model: ModelRef, inputs: Inputs) -> Execution:
        """The outputs, and the request's own share of the time; cancelled before it starts, it never runs.

        Raises Full, Draining, what the model's loading raises and what the model does.
        """
        self._admission.enter()
        lane = self._lane(model, inputs)
        rows = rows_in(inputs) if lane.held is not None else 1
        request = _Request(inputs, rows, self._loop.create_future())
        with self._lock:
            lane.waiting.append(request)
        if lane.running == 0 or self._is_full(lane):
            self._start(lane)
        elif lane.timer is None:
            lane.timer = self._loop.call_later(DELAY_MAX_S, self._hurry, lane)
        try:
            return await request.answer
        except asyncio.CancelledError:
            self._withdraw(lane, request)
            raise

    def _lane(self, model: ModelRef, inputs: Inputs) -> _Lane:
        held = self._models.peek(model.checksum)
        kind = kind_of(inputs, model.signature) if held is not None and held.joins else None
        if kind is None:  # before its first load, too, nothing is known of a model's rows
            key: Hashable = object()
            return self._lanes.setdefault(key, _Lane(key, model, None))
        key = (model.checksum, kind)
        if key not in self._lanes:
            self._lanes[key] = _Lane(key, model, held)
        return self._lanes[key]

    def _is_full(self, lane: _Lane) -> bool:
        """Whether waiting would make the next run no better, and a thread may be free for it."""
        if lane.held is None or lane.running >= self._admission.threads:
            return False
        with self._lock:
            return sum(request.rows for request in lane.waiting) >= lane.held.batch.rows

    def _hurry(self, lane: _Lane) -> None:
        lane.timer = None
        if lane.waiting and lane.running < self._admission.threads:
            self._start(lane)

    def _start(self, lane: _Lane) -> None:
        lane.running += 1
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        self._admission.start(lambda: self._work(lane), lambda ended: self._finish(lane, ended))

    def _work(self, lane: _Lane) -> Outcomes:
        """In a thread: take what waits now and run it."""
        batch = self._take(lane)
        if not batch:
            return []
        try:
            held = self._models.get(lane.ref)
            ran = run_joined(held, lane.ref.signature, [request.inputs for request in batch])
        except Exception as error:  # of any layer below; each of them is told
            return [(request, error) for request in batch]
        if lane.held is not None and all(isinstance(one, Execution) for one in ran):
            busy_us = sum(one.busy_us for one in ran if isinstance(one, Execution))
            lane.held.batch.ran(sum(request.rows for request in batch), busy_us)
        return list(zip(batch, ran, strict=True))

    def _take(self, lane: _Lane) -> list[_Request]:
        batch: list[_Request] = []
        rows, rows_max = 0, lane.held.batch.rows if lane.held is not None else 1
        with self._lock:
            while lane.waiting and (not batch or rows + lane.waiting[0].rows <= rows_max):
                batch.append(lane.waiting.popleft())
                rows += batch[-1].rows
        return batch

    def _finish(self, lane: _Lane, ended: "Future[Outcomes]") -> None:
        """In the loop: answer those who are still there, and go on with who waits."""
        lane.running -= 1
        outcomes = [] if ended.cancelled() else ended.result()
        if outcomes:
            self.counts.runs += 1
            self.counts.requests += len(outcomes)
            self.counts.rows += sum(request.rows for request, _ in outcomes)
        for request, outcome in outcomes:
            self._admission.leave()
            if request.answer.done():
                continue
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)
        if lane.waiting and not self._admission.closed:
            self._start(lane)
        elif lane.running == 0:
            self._lanes.pop(lane.key, None)

    def _withdraw(self, lane: _Lane, request: _Request) -> None:
        """Take a request out that still waits; one that runs keeps its place until its thread is free."""
        with self._lock:
            if request not in lane.waiting:
                return
            lane.waiting.remove(request)
        self._admission.leave()
