"""Invoices: one per account and period over all that its wallet paid for, equal to the ledger to the nano."""

from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.billing import FINAL_GRACE, DocumentState
from backend.domain.errors import Conflict
from backend.domain.ids import AccountId, DocumentId
from backend.domain.ledger import AccountKind
from backend.domain.periods import Period
from backend.services.accounts import find_account
from backend.services.composing import Composed, compose, issue, save
from backend.services.documents import Bill, bill_of, locked, record
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork


def preview(uow: UnitOfWork, now: datetime, principal: Principal, account_id: AccountId, period: Period) -> Bill:
    """An invoice as it would be now, of the caller's own account (admins: any); nothing is written."""
    principal.require_owner(account_id, "account", account_id)
    with uow:
        account = find_account(uow, account_id)
        wallet = uow.ledger.balances_of(account_id)[AccountKind.WALLET].account
        [composed] = compose(uow, now, {account_id: wallet}, period)
    return Bill(replace(composed.document, id=None), composed.lines, account.name)


@patient
def draft(uow: UnitOfWork, now: datetime, principal: Principal, account_id: AccountId, period: Period) -> Bill:
    """Make the draft of an account and period, or bring it up to date; drafts that it overlaps are dropped.

    Raises Forbidden, NotFound, Conflict(`period_not_begun`), or Conflict(`period_billed`) if an issued invoice
    covers a part of the period.
    """
    principal.require(Role.ADMIN)
    if now < period.start:
        raise Conflict(
            f"the period begins at {period.start.isoformat()}",
            code="period_not_begun",
            field="period",
            accepted="a period that has begun",
        )
    with uow:
        find_account(uow, account_id)
        [composed] = compose(uow, now, uow.ledger.lock(wallets_of=[account_id]).wallets, period)
        _check_free(composed)
        save(uow, [composed])
        record(uow, now, principal, "draft", composed.document)
        bill = bill_of(uow, composed.document)
        uow.commit()
    return bill


@patient
def finalise(uow: UnitOfWork, now: datetime, principal: Principal, document_id: DocumentId) -> Bill:
    """Bring a draft up to date and issue it under the next number; for an issued document twice is once.

    Raises Forbidden, NotFound, Conflict(`period_not_over`) until FINAL_GRACE after the period, Conflict
    (`nothing_to_bill`), Conflict(`period_billed`) or, of a void document, Conflict(`document_closed`).
    """
    with uow:
        document = locked(uow, principal, document_id)
        if document.state is DocumentState.VOID:
            raise Conflict(
                f"{document.number} is void", code="document_closed", field="document", accepted="a draft of its own"
            )
        if document.state is not DocumentState.DRAFT:
            return bill_of(uow, document)
        check_over(now, document.period)
        wallets = uow.ledger.lock(wallets_of=[document.account_id]).wallets
        [composed] = compose(uow, now, wallets, document.period)
        _check_free(composed)
        if not composed.lines:
            raise Conflict(
                "the account paid for nothing in that period",
                code="nothing_to_bill",
                field="document",
                accepted="a period in which the wallet moved",
            )
        [issued] = issue(uow, now, [composed])
        record(uow, now, principal, "finalise", issued)
        bill = bill_of(uow, issued)
        uow.commit()
    return bill


def check_over(now: datetime, period: Period) -> None:
    """Raise Conflict(`period_not_over`) until FINAL_GRACE after the period."""
    final_from = period.end + FINAL_GRACE
    if now < final_from:
        raise Conflict(
            "the period is not over yet",
            code="period_not_over",
            field="period",
            accepted=f"from {final_from.isoformat()} on",
        )


def _check_free(composed: Composed) -> None:
    if (issued := composed.issued) is not None:
        raise Conflict(
            f"{issued.number} covers {issued.period_start.isoformat()} to {issued.period_end.isoformat()}",
            code="period_billed",
            field="period",
            accepted="a period outside of it; or make it void first",
        )
