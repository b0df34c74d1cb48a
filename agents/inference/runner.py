"""Runs one unit of work: claim, run in batches, commit in groups. The uncommitted runs elsewhere.

Training items come last, one by one, since they may take long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from agents.inference.claims import ClaimKeeper
from agents.inference.item_batch import ItemBatch, Outcome
from agents.inference.models import LoadedModels
from agents.inference.outcomes import Outcomes
from agents.inference.private_items import PrivateItems
from agents.inference.run_queue import RunQueue
from agents.inference.sparing import Spared
from agents.inference.training_items import NO_TRAINERS, TrainingItems, declined
from agents.work_port import WorkPort
from backend.domain.errors import Unavailable
from backend.domain.federated.tasks import is_local_task
from backend.domain.ids import UnitId
from backend.domain.private_envelope import is_private
from backend.domain.urgency import urgency_of_items
from backend.domain.work import ClaimedItem, ItemResult
from backend.messaging.spans import span

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What became of the items that a unit's claim gave us; `lost` ones were taken by others meanwhile.

    Of those put `aside`, which run in a thread of their own, another report tells. Those `handed_back` were not run,
    and that was no attempt.
    """

    claimed: int
    committed: int
    failed: int
    aside: int = 0
    handed_back: int = 0

    @property
    def lost(self) -> int:
        return self.claimed - self.committed - self.failed - self.aside - self.handed_back


class NotBegun(Unavailable):
    """A unit whose claim was not answered: to ask again is safe, since a claim gives each item once."""

    code = "unit_not_begun"

    def __init__(self, unit_id: UnitId) -> None:
        super().__init__(f"nobody answered the claim of unit {unit_id}", accepted="try again")
        self.unit_id = unit_id


class UnitRunner:
    """Runs units one after the other; not for several threads."""

    def __init__(
        self,
        port: WorkPort,
        models: LoadedModels,
        claims: ClaimKeeper,
        runs: RunQueue | None = None,
        private: PrivateItems | None = None,
        training: TrainingItems | None = None,
        spared: Spared | None = None,
    ) -> None:
        self._port = port
        self._models = models
        self._claims = claims
        self._runs = runs or RunQueue()  # shared with requests, where there are any
        self._private = private or PrivateItems(None)
        self._training = training  # without it, training is for others
        self._spared = spared or Spared()  # shared by runners of one agent, where it has several
        self._ran_s = 0.0
        self.done = 0  # items that ran, well or not, and units that held nothing any more

    def run(self, unit_id: UnitId) -> UnitReport:
        """Claim what the unit still has and run it.

        Raises NotBegun when nothing could be claimed, and what the port raised when it stays away after that.
        """
        return self.run_items(unit_id, self.claim(unit_id))

    def claim(self, unit_id: UnitId) -> list[ClaimedItem]:
        """What the unit still has; it is held from now on, so `run_items` must follow. Raises NotBegun."""
        try:
            with span("work.claim"):
                items = self._port.claim(unit_id)
        except Exception as error:  # of any layer below
            raise NotBegun(unit_id) from error
        self._claims.hold(items)
        return items

    def run_items(self, unit_id: UnitId, items: Sequence[ClaimedItem]) -> UnitReport:
        """Run items of one unit, which were claimed; raises what the port raised when it stays away."""
        started = monotonic()
        if not items:
            # A message that came twice, or late: its items are done, or held by somebody.
            self.done += 1
            log.info("unit.empty", unit_id=str(unit_id))
            return UnitReport(0, 0, 0)
        outcomes = Outcomes(self._port, self._claims, self._spared)
        try:
            with span("work.run", swarmex__items=len(items)) as run:
                self._run_all(items, outcomes)
                run.set(swarmex__committed=outcomes.committed, swarmex__failed=outcomes.failed)
        finally:
            self.let_go(items)
        report = UnitReport(len(items), outcomes.committed, outcomes.failed, handed_back=outcomes.handed_back)
        log.info(
            "unit.done",
            unit_id=str(unit_id),
            claimed=report.claimed,
            committed=report.committed,
            failed=report.failed,
            handed_back=report.handed_back,
            lost=report.lost,
            seconds=round(monotonic() - started, 4),
        )
        return report

    def let_go(self, items: Sequence[ClaimedItem]) -> None:
        """Let items that were claimed lapse, where nothing became of them."""
        self._claims.let_go(items)

    def _run_all(self, items: Sequence[ClaimedItem], outcomes: Outcomes) -> None:
        for group in _by_model([item for item in items if _is_request(item)]):
            self._run_group(group, outcomes)
        for item in items:
            if is_private(item.inputs):
                self._tell(self._run_private(item), outcomes)
        outcomes.send()  # before what may take long
        for item in items:
            if is_local_task(item.inputs):
                self._tell(self._run_training(item), outcomes)
        outcomes.send()

    def _run_group(self, items: list[ClaimedItem], outcomes: Outcomes) -> None:
        """Items of one model, in the order of their claim, as many at once as the model runs well."""
        try:
            batch = ItemBatch(items[0].model, self._models.get(items[0].model))
        except Exception as error:  # of any layer below: nothing of this model can be run here
            self._give_back(items, error, outcomes)
            return
        start = 0
        while start < len(items):
            chunk = batch.next_of(items, start)
            start += len(chunk)
            self._tell(self._run_chunk(batch, chunk), outcomes)

    def _run_chunk(self, batch: ItemBatch, items: list[ClaimedItem]) -> list[tuple[ClaimedItem, Outcome]]:
        with self._runs.room(urgency_of_items(monotonic(), self._ran_s)):
            began_s = monotonic()
            # As late as can be: what was lost or cancelled meanwhile is not run.
            ran = list(batch.run([item for item in items if self._claims.holds(item)]))
            self._ran_s = monotonic() - began_s
        return ran

    def _run_private(self, item: ClaimedItem) -> list[tuple[ClaimedItem, Outcome]]:
        """One item, alone: it shares a run of its model with nobody."""
        with self._runs.room(urgency_of_items(monotonic(), self._ran_s)):
            if not self._claims.holds(item):
                return []
            return [(item, self._private.run(lambda: ItemBatch(item.model, self._models.get(item.model)), item))]

    def _run_training(self, item: ClaimedItem) -> list[tuple[ClaimedItem, Outcome]]:
        """One item, beside whatever else this machine runs: its trainer is a process of its own."""
        if not self._claims.holds(item):
            return []
        outcome = declined(item, NO_TRAINERS) if self._training is None else self._training.run(item)
        return [] if outcome is None else [(item, outcome)]

    def _tell(self, ran: list[tuple[ClaimedItem, Outcome]], outcomes: Outcomes) -> None:
        for item, outcome in ran:
            if isinstance(outcome, ItemResult):
                outcomes.done(outcome)
                self.done += 1
            else:
                self._give_back([item], outcome, outcomes)

    def _give_back(self, items: list[ClaimedItem], error: Exception, outcomes: Outcomes) -> None:
        for item in items:
            if self._claims.holds(item):
                outcomes.failed_with(item, error)
            self.done += 1


def _is_request(item: ClaimedItem) -> bool:
    """Whether an item is a request to its model, as it stands."""
    return not is_private(item.inputs) and not is_local_task(item.inputs)


def _by_model(items: list[ClaimedItem]) -> list[list[ClaimedItem]]:
    groups: dict[str, list[ClaimedItem]] = {}
    for item in items:
        groups.setdefault(item.model.checksum, []).append(item)
    return list(groups.values())
