"""What the market's books look like from above, for monitoring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backend.domain.incidents import IncidentKind
from backend.storage.audit_runs import AuditRun
from backend.storage.figures import Count, Money, Waiting
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Figures:
    """Aggregates at `at`, and what the newest audit of each mode found."""

    at: datetime
    money: list[Money]
    waiting: Waiting
    audits: list[AuditRun]
    incidents: Mapping[IncidentKind, int] = field(default_factory=dict)  # open ones, by kind
    going_on: Sequence[Count] = ()


def figures(uow: UnitOfWork, now: datetime) -> Figures:
    """Five statements, each on an index or a small table."""
    with uow:
        return Figures(
            now,
            uow.figures.money(),
            uow.figures.waiting(),
            uow.audit_runs.newest(),
            uow.incidents.open_counts(),
            uow.figures.going_on(now),
        )
