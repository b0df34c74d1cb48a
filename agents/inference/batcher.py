"""Real-time requests for one model, joined: what gathers while a batch runs is the next one, the most urgent first.

A request that finds its model idle runs at once. One that finds it at work waits for the end of that run, or
DELAY_MAX_S at most, and then shares a run with all that came meanwhile, of whatever tier; it leaves whenever its client
does. What goes before everything that runs does not wait for any of it.
"""

import asyncio
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

from agents.inference.admission import Admission
from agents.inference.execution import Execution
from agents.inference.joining import Inputs, kind_of, rows_in, run_joined
from agents.inference.lane import Asked, Lane, Outcomes
from agents.inference.models import LoadedModels
from backend.domain.tiers import TierName
from backend.domain.urgency import RANKS
from backend.domain.work import ModelRef

DELAY_MAX_S = 0.005  # then it runs beside the batch that is under way, in another thread


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
        self._runs = admission.runs
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[Hashable, Lane] = {}
        self.counts = counts or BatchCounts()

    async def run(self, model: ModelRef, inputs: Inputs, tier: TierName = TierName.MEDIUM) -> Execution:
        """The outputs, and the request's own share of the time; cancelled before it starts, it never runs.

        Raises Full, Draining, what the model's loading raises and what the model does.
        """
        self._admission.enter(tier)
        lane = self._lane(model, inputs)
        request = Asked(inputs, rows_in(inputs) if lane.joins else 1, tier, self._loop.create_future())
        lane.add(request, monotonic())
        if not self._runs.is_running(lane) or self._runs.outranks_all(RANKS[tier]) or lane.again():
            self._ask(lane)
        elif lane.timer is None and lane.held() is not None:
            lane.timer = self._loop.call_later(DELAY_MAX_S, self._ask, lane)
        try:
            return await request.answer
        except asyncio.CancelledError:
            if lane.withdraw(request):  # one that runs keeps its place until its thread is free
                self._admission.leave(tier)
                self._tidy(lane)
            raise

    def _lane(self, model: ModelRef, inputs: Inputs) -> Lane:
        held = self._models.peek(model.checksum)
        kind = kind_of(inputs, model.signature) if held is not None and held.joins else None
        # Before its first load, nothing is known of a model's rows.
        key = (model.checksum, kind, held is None)
        if (lane := self._lanes.get(key)) is None:
            lane = self._lanes[key] = Lane(
                key,
                model,
                lambda: self._models.peek(model.checksum),
                self._work,
                self._finish,
                self._admission,
                joins=kind is not None,
            )
        return lane

    def _ask(self, lane: Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        self._runs.ask(lane)

    def _work(self, lane: Lane, batch: list[Asked]) -> Outcomes:
        """In a thread: run what was taken, and what has come since."""
        lane.take(batch)
        try:
            held = self._models.get(lane.ref)
            ran = run_joined(held, lane.ref.signature, [request.inputs for request in batch])
        except Exception as error:  # of any layer below; each of them is told
            return [(request, error) for request in batch]
        if lane.joins and all(isinstance(one, Execution) for one in ran):
            busy_us = sum(one.busy_us for one in ran if isinstance(one, Execution))
            held.batch.ran(sum(request.rows for request in batch), busy_us)
        return list(zip(batch, ran, strict=True))

    def _finish(self, lane: Lane, ended: "Future[Outcomes]") -> None:
        """In the loop: answer those who are still there, and go on with who waits."""
        outcomes = [] if ended.cancelled() else ended.result()
        if outcomes:
            self.counts.runs += 1
            self.counts.requests += len(outcomes)
            self.counts.rows += sum(request.rows for request, _ in outcomes)
        for request, outcome in outcomes:
            self._admission.leave(request.tier)
            if request.answer.done():
                continue
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)
        if not lane.is_empty and not self._admission.closed:
            self._ask(lane)
        self._runs.end(lane)
        self._tidy(lane)

    def _tidy(self, lane: Lane) -> None:
        """Keep nothing of requests that are over: clients choose their shapes, of which there is no end."""
        if lane.is_empty and not self._runs.is_running(lane) and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
