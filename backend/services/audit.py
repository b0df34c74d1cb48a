"""The audit: every balance recomputed from the transfers and holds that made it."""

from dataclasses import dataclass

from backend.storage.audit import Difference
from backend.storage.unit_of_work import UnitOfWork

DIFFERENCES_MAX = 100


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was looked at and what did not add up."""

    accounts: int
    transfers: int
    holds: int
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether the books are in order."""
        return not self.differences


def audit_ledger(uow: UnitOfWork) -> AuditReport:
    """Recompute balances, reservations, captures and charges in one snapshot; money is neither made nor lost."""
    with uow:
        uow.audit.freeze()
        totals, sum_nano = uow.audit.totals()
        differences = uow.audit.differences(DIFFERENCES_MAX)
    if sum_nano:
        differences.append(Difference("sum of all balances", None, sum_nano, 0))
    return AuditReport(totals.accounts, totals.transfers, totals.holds, tuple(differences))
