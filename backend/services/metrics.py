"""What the market's books look like from above, for monitoring."""

from dataclasses import dataclass
from datetime import datetime

from backend.storage.audit_runs import AuditRun
from backend.storage.figures import Money, Waiting
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Figures:
    """Aggregates at `at`, and what the newest audit of each mode found."""

    at: datetime
    money: list[Money]
    waiting: Waiting
    audits: list[AuditRun]


def figures(uow: UnitOfWork, now: datetime) -> Figures:
    """Three statements, each on an index or a small table."""
    with uow:
        return Figures(now, uow.figures.money(), uow.figures.waiting(), uow.audit_runs.newest())
