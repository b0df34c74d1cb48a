"""A full audit that settlement agents do together: each figure is a part, added up in a snapshot of its own.

It finds what a full audit finds of each figure, but not all of it at one moment: that takes `swarmex ledger audit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.domain.errors import unknown_choice
from backend.domain.joint_tasks import JoinPolicy, TaskWish
from backend.services.audit import DIFFERENCES_MAX
from backend.services.joint_tasks import open_task
from backend.storage.audit import AUDIT_TIMEOUT_S, Difference, Figure
from backend.storage.joint_tasks import JointTask
from backend.storage.unit_of_work import UnitOfWork

KIND = "audit.figure"
PARTS = tuple(figure for figure in Figure if figure is not Figure.RESERVED)  # which is compared along with balances
TOLD_MAX = 10  # differences of a figure in its result; `swarmex ledger audit --exact` tells more


@dataclass(frozen=True, slots=True)
class JointAudit:
    """What all parts found, DIFFERENCES_MAX of each figure at most, and the first of them."""

    figures: int
    found: int
    differences: tuple[dict[str, Any], ...]

    @property
    def ok(self) -> bool:
        """Whether the books are in order."""
        return self.found == 0


def open_audit(uow: UnitOfWork, now: datetime, opener: str) -> JointTask:
    """Ask the settlement agents for a full audit; a figure that cannot be added up does not keep the others from it."""
    life = timedelta(seconds=2 * AUDIT_TIMEOUT_S)
    payloads = tuple({"figure": part} for part in PARTS)
    return open_task(uow, now, opener, TaskWish(KIND, payloads, JoinPolicy.COLLECT, life=life))


def audit_part(uow: UnitOfWork, payload: object) -> dict[str, Any]:
    """Add one figure up; what it found, as the part's result. Raises Invalid for a figure that this version has not."""
    figure = _figure(payload)
    with uow:
        uow.audit.freeze()
        if figure is Figure.SUM:
            total = uow.audit.totals(()).sum_nano
            found = [Difference(Figure.SUM, None, total, 0)] if total else []
        elif figure is Figure.BALANCE:
            found = uow.audit.balances(DIFFERENCES_MAX)
        else:
            found = uow.audit.differences(figure, DIFFERENCES_MAX)
    return {"figure": figure, "found": len(found), "differences": [_told(one) for one in found[:TOLD_MAX]]}


def report(results: Sequence[Any]) -> JointAudit:
    """The audit that the parts make together."""
    differences = tuple(one for result in results for one in result["differences"])
    return JointAudit(len(results), sum(result["found"] for result in results), differences)


def _figure(payload: object) -> Figure:
    wanted = payload.get("figure") if isinstance(payload, dict) else None
    if wanted not in [figure.value for figure in PARTS]:
        raise unknown_choice("figure", wanted, PARTS)
    return Figure(wanted)


def _told(difference: Difference) -> dict[str, Any]:
    return {
        "what": difference.what,
        "id": str(difference.id) if difference.id else None,
        "recorded_nano": difference.recorded_nano,
        "computed_nano": difference.computed_nano,
        "about": difference.about,
    }
