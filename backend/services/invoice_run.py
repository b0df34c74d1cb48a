"""The invoices of a period for everybody, a batch of accounts at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.billing import Document
from backend.domain.ids import AccountId
from backend.domain.periods import ZONE_SHIFT_MAX, Period
from backend.services import log
from backend.services.composing import compose, issue
from backend.services.invoicing import check_over
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork

RUN_ACCOUNTS_MAX = 200  # wallets that are locked at once: other money waits for a fraction of a second
TO_CREDIT_MAX = 100


@dataclass(frozen=True, slots=True)
class Run:
    """How far a run over all accounts is: accounts that moved money, those looked at, and the invoices issued.

    At the end, `to_credit` has the invoices that want a credit note, at most TO_CREDIT_MAX: what was reversed since
    the period's beginning is on none of the new invoices if an earlier one had billed it.
    """

    accounts: int
    done: int = 0
    issued: int = 0
    total_nano: int = 0
    total_cents: int = 0
    to_credit: tuple[str, ...] = ()


def finalise_all(
    uow: UnitOfWork, now: datetime, principal: Principal, period: Period, tell: Callable[[Run], None] | None = None
) -> Run:
    """Issue the invoices of a period for all accounts that paid for anything in it and have none yet.

    May be stopped and repeated: RUN_ACCOUNTS_MAX accounts are a transaction, and issued invoices stay as they are.
    `tell` hears of every step. Raises Forbidden, or Conflict(`period_not_over`).
    """
    principal.require(Role.ADMIN)
    check_over(now, period)
    with uow:
        accounts = uow.documents.accounts_to_bill(period.start - ZONE_SHIFT_MAX, period.end)
    run = Run(len(accounts))
    for first in range(0, len(accounts), RUN_ACCOUNTS_MAX):
        batch = accounts[first : first + RUN_ACCOUNTS_MAX]
        issued = _finalise_some(uow, now, principal, batch, period)
        run = replace(
            run,
            done=run.done + len(batch),
            issued=run.issued + len(issued),
            total_nano=run.total_nano + sum(document.total_nano for document in issued),
            total_cents=run.total_cents + sum(document.total_cents for document in issued),
        )
        if tell:
            tell(run)
    with uow:
        return replace(run, to_credit=tuple(uow.documents.invoices_to_credit(period.start, TO_CREDIT_MAX)))


@patient
def _finalise_some(
    uow: UnitOfWork, now: datetime, principal: Principal, accounts: Sequence[AccountId], period: Period
) -> list[Document]:
    with uow:
        composed = compose(uow, now, uow.ledger.lock(wallets_of=accounts).wallets, period)
        issued = issue(uow, now, [c for c in composed if c.lines and c.issued is None])
        if issued:
            numbers = [issued[0].number, issued[-1].number]
            log.record(uow, now, principal, "invoice.run", f"period {period.start:%Y-%m-%d}", numbers=numbers)
        uow.commit()
    return issued
