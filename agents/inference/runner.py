"""Runs one unit of work: claim, run item by item, commit in small groups. The uncommitted runs elsewhere."""

from dataclasses import dataclass
from time import monotonic

import orjson
import structlog

from agents.engines.base import InferenceFailed
from agents.inference.claims import ClaimKeeper
from agents.inference.execution import execute
from agents.inference.models import LoadedModels
from agents.inference.outcomes import Outcomes
from agents.work_port import WorkPort
from backend.domain.errors import Unavailable
from backend.domain.ids import UnitId
from backend.domain.work import PAYLOAD_BYTES_MAX, ClaimedItem, ItemResult

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What became of the items that a unit's claim gave us; `lost` ones were taken by others meanwhile."""

    claimed: int
    committed: int
    failed: int

    @property
    def lost(self) -> int:
        return self.claimed - self.committed - self.failed


class NotBegun(Unavailable):
    """A unit whose claim was not answered: to ask again is safe, since a claim gives each item once."""

    code = "unit_not_begun"

    def __init__(self, unit_id: UnitId) -> None:
        super().__init__(f"nobody answered the claim of unit {unit_id}", accepted="try again")
        self.unit_id = unit_id


class UnitRunner:
    """Runs units one after the other; not for several threads."""

    def __init__(self, port: WorkPort, models: LoadedModels, claims: ClaimKeeper) -> None:
        self._port = port
        self._models = models
        self._claims = claims
        self.done = 0  # items that ran, well or not, and units that held nothing any more

    def run(self, unit_id: UnitId) -> UnitReport:
        """Claim what the unit still has and run it.

        Raises NotBegun when nothing could be claimed, and what the port raised when it stays away after that.
        """
        started = monotonic()
        try:
            items = self._port.claim(unit_id)
        except Exception as error:  # of any layer below
            raise NotBegun(unit_id) from error
        if not items:
            # A message that came twice, or late: its items are done, or held by somebody.
            self.done += 1
            log.info("unit.empty", unit_id=str(unit_id))
            return UnitReport(0, 0, 0)
        outcomes = Outcomes(self._port, self._claims)
        with self._claims.holding(items):
            for group in _by_model(items):
                self._run_group(group, outcomes)
            outcomes.send()
        report = UnitReport(len(items), outcomes.committed, outcomes.failed)
        log.info(
            "unit.done",
            unit_id=str(unit_id),
            claimed=report.claimed,
            committed=report.committed,
            failed=report.failed,
            lost=report.lost,
            seconds=round(monotonic() - started, 4),
        )
        return report

    def _run_group(self, items: list[ClaimedItem], outcomes: Outcomes) -> None:
        """Items of one model, in the order of their claim."""
        for item in items:
            if not self._claims.holds(item.item_id):
                continue
            try:
                outcome = self._run_item(item)
            except Exception as error:  # an item must not take its unit down, whatever its model does
                log.warning("item.failed", item_id=str(item.item_id), attempt=item.attempt, error=repr(error))
                outcomes.failed_with(item, error)
            else:
                outcomes.done(outcome)
            self.done += 1

    def _run_item(self, item: ClaimedItem) -> ItemResult:
        model = self._models.get(item.model)
        execution = execute(model, item.model.signature, orjson.loads(item.inputs))
        outputs = orjson.dumps({"outputs": execution.outputs})
        if len(outputs) > PAYLOAD_BYTES_MAX:
            raise InferenceFailed(f"outputs of {len(outputs)} bytes", accepted=f"at most {PAYLOAD_BYTES_MAX}")
        return ItemResult(item.item_id, item.fence, execution.busy_us, outputs)


def _by_model(items: list[ClaimedItem]) -> list[list[ClaimedItem]]:
    groups: dict[str, list[ClaimedItem]] = {}
    for item in items:
        groups.setdefault(item.model.checksum, []).append(item)
    return list(groups.values())
