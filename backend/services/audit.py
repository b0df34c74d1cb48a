"""The audit: every figure of the books recomputed from the transfers and holds that made it."""

import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.ids import AccountId
from backend.storage.audit import Difference, Figure, Totals
from backend.storage.audit_runs import AuditRun
from backend.storage.checkpoints import BEGINNING, Stretch
from backend.storage.contention import patient
from backend.storage.ids import first_id_at, new_id
from backend.storage.unit_of_work import UnitOfWork

DIFFERENCES_MAX = 100  # of each kind
GRACE = timedelta(minutes=2)  # several times what a statement may take, and more than our machines' clocks differ by

MEANINGS = {
    Figure.BALANCE: "the balance is not the sum of the account's transfers: money appeared, vanished or was misplaced",
    Figure.RESERVED: "what is set aside is not what the account's pending holds leave: too much or too little is free",
    Figure.CAPTURED: "the transfers out of the hold do not add up to what it says was taken",
    Figure.CHARGED: "the order's cost is not its charges and fees less what was reversed",
    Figure.USED: "what counts against the budget is not what its holds set aside: it refuses too early or too late",
    Figure.REVERSAL: "the reversal is not the mirror of a transfer, or not the only one of it",
    Figure.USAGE: "what the usage is said to have cost is not what was charged for it",
    Figure.HELD: "more or less of the hold was taken and given back than its state says, or than was held at all",
    Figure.LINES: "the lines of the document do not add up to its total",
    Figure.BILLED: "the issued document is not what the account's wallet moved in its period",
    Figure.PAID: "the payout is not what is held or was paid for it, or a payment has no payout",
    Figure.DISPUTED: "what was withheld, restored or given back is not what the dispute says",
    Figure.PROMISED: "what was withheld, restored or credited is not what SLA windows say, or does not cover open ones",
    Figure.REQUESTS: "what an allowance was used for, lease by lease, is not what was charged for it",
    Figure.SUM: "money was made or lost: the sum of all balances must be 0",
}
# Compared one by one in any case: there are few, or fingerprints need a join.
_SINGLY = {
    Figure.REVERSAL,
    Figure.USAGE,
    Figure.LINES,
    Figure.BILLED,
    Figure.DISPUTED,
    Figure.PROMISED,
    Figure.REQUESTS,
}
_DEEP = tuple(figure for figure in Figure if figure not in (Figure.BALANCE, Figure.RESERVED, Figure.SUM))


class Mode(StrEnum):
    """How far an audit looks."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was looked at and what did not add up; of an incremental audit, the new transfers and pending holds."""

    accounts: int
    transfers: int
    holds: int
    differences: tuple[Difference, ...]
    mode: Mode = Mode.FULL
    sum_nano: int = 0
    took_us: int = 0

    @property
    def ok(self) -> bool:
        """Whether the books are in order."""
        return not self.differences


def audit_ledger(uow: UnitOfWork, *, exact: bool = False, account: AccountId | None = None) -> AuditReport:
    """Compare every figure that MEANINGS names with the transfers and holds that it was made of, in one snapshot.

    Random fingerprints tell whether anything is wrong, and miss it once in 2³¹ audits; only then is each figure added
    up by itself. With `exact`, or for one `account`, that is done in any case. Transfers and holds themselves are
    believed: nothing here finds one that was forged together with all that follows from it.
    """
    with uow:
        uow.audit.freeze()
        return examine(uow, exact=exact, account=account)


def examine(uow: UnitOfWork, *, exact: bool = False, account: AccountId | None = None) -> AuditReport:
    """The same inside an open unit of work, all of which sees one moment."""
    if account:
        of = uow.audit.accounts_of(account)
        totals, wrong = uow.audit.totals(of), frozenset(Figure)
    else:
        of = None
        seen = uow.fingerprints.compare(secrets.randbits(63))
        totals, wrong = seen.totals, frozenset(Figure) if exact else seen.wrong | _SINGLY
    differences = uow.audit.balances(DIFFERENCES_MAX, of) if wrong & {Figure.BALANCE, Figure.RESERVED} else []
    for figure in _DEEP:
        if figure in wrong:
            differences += uow.audit.differences(figure, DIFFERENCES_MAX, of)
    return _report(Mode.FULL, totals, differences, uow.audit.took_us())


@patient
def audit_recent(uow: UnitOfWork, now: datetime) -> AuditReport:
    """Compare balances and reserves of all accounts by what changed since the last time, and record the result.

    Balances are kept added up to a mark that trails `now` by GRACE. Holds and orders are looked at once, when their
    transfers pass the mark; the first audit looks at everything. What seems wrong is added up from all its facts before
    it is reported: a transfer that came later than GRACE is no false alarm, but repairs the balances up to the mark.

    What only a full audit finds: transfers below the mark that were changed themselves, holds and orders that were
    changed after that one look, and what is wrong with budgets' use, reversals, usage, documents, payouts or disputes.
    """
    with uow:
        uow.checkpoints.take_turn()
        mark = uow.checkpoints.mark()
        stretch = Stretch(mark or BEGINNING, max(mark or BEGINNING, first_id_at(now - GRACE)))
        uow.checkpoints.advance(stretch)
        suspects = uow.checkpoints.suspects(stretch.up_to, DIFFERENCES_MAX)
        differences = uow.audit.balances(DIFFERENCES_MAX, suspects) if suspects else []
        if innocent := set(suspects) - {difference.id for difference in differences}:
            uow.checkpoints.rebuild(innocent, stretch.up_to)
        if mark:
            differences += uow.checkpoints.touched(stretch, DIFFERENCES_MAX)
        else:
            for figure in uow.fingerprints.compare(secrets.randbits(63)).wrong & set(_DEEP):
                differences += uow.audit.differences(figure, DIFFERENCES_MAX)
        report = _report(Mode.INCREMENTAL, uow.checkpoints.totals(stretch.mark), differences, uow.audit.took_us())
        uow.audit_runs.add(_run(report, now))
        uow.commit()
    return report


def keep(uow: UnitOfWork, now: datetime, report: AuditReport) -> None:
    """Record what a full audit found, for metrics; an incremental one has recorded itself."""
    with uow:
        uow.audit_runs.add(_run(report, now))
        uow.commit()


def last_run(uow: UnitOfWork, mode: Mode) -> AuditRun | None:
    """The newest audit of a mode that was recorded."""
    with uow:
        return next((run for run in uow.audit_runs.newest() if run.mode == mode), None)


def meaning(difference: Difference) -> str:
    """What a difference says, in a sentence."""
    return MEANINGS[_figure_of(difference.what)]


def violations(run: AuditRun) -> dict[Figure, int]:
    """How many differences of each figure an audit found, DIFFERENCES_MAX at most; 0 for what is in order."""
    found = Counter(_figure_of(str(difference["what"])) for difference in run.differences)
    return {figure: found[figure] for figure in Figure}


def _figure_of(what: str) -> Figure:
    return next(figure for figure in Figure if what.endswith(figure))


def _report(mode: Mode, totals: Totals, found: Collection[Difference], took_us: int) -> AuditReport:
    total = (Difference(Figure.SUM, None, totals.sum_nano, 0),) if totals.sum_nano else ()
    return AuditReport(
        totals.accounts, totals.transfers, totals.holds, (*found, *total), mode, totals.sum_nano, took_us
    )


def _run(report: AuditReport, now: datetime) -> AuditRun:
    return AuditRun(
        new_id(),
        report.mode,
        report.ok,
        report.accounts,
        report.transfers,
        report.holds,
        report.sum_nano,
        [asdict(difference) for difference in report.differences],
        report.took_us,
        now,
    )
