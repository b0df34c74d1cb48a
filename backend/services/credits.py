"""The market's own money for its customers: the credits fund, how it is filled and what it pays."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.access import Principal, Role
from backend.domain.corrections import FundShort, check_reason
from backend.domain.errors import Conflict, InsufficientFunds, NotFound, unknown_choice
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, OrderId, TransferId
from backend.domain.ledger import CREDITS_ID, FEES_ID, WORLD_ID, Books, Post, Transfer, TransferKind
from backend.domain.references import check_reference
from backend.services import log
from backend.services.accounts import find_account
from backend.services.idempotency import once
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.ledger import LockedAccounts
from backend.storage.unit_of_work import UnitOfWork


class FundSource(StrEnum):
    """Where the fund's money comes from."""

    FEES = "fees"
    WORLD = "world"


@dataclass(frozen=True, slots=True)
class Funding:
    """Money that went into the credits fund, what it has now, and whether this had been booked before."""

    transfer_id: TransferId
    amount_nano: int
    source: FundSource
    reference: str
    available_nano: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Refund:
    """What the fund paid a buyer, in nano-credits."""

    transfer_id: TransferId
    account_id: AccountId
    order_id: OrderId | None
    amount_nano: int


@patient
def fund(
    uow: UnitOfWork, now: datetime, principal: Principal, amount_nano: int, source: str, reference: str
) -> Funding:
    """Fill the credits fund out of the market's fees or from outside, once per reference.

    Raises InsufficientFunds above what the fees have, Conflict(`reference_reused`) for a reference of something else.
    """
    principal.require(Role.ADMIN)
    if source not in [s.value for s in FundSource]:
        raise unknown_choice("source", source, [s.value for s in FundSource])
    check_reference(reference)
    debit = FEES_ID if source == FundSource.FEES else WORLD_ID
    with uow:
        accounts = uow.ledger.lock(others=[debit, CREDITS_ID])
        found = uow.ledger.transfer_with_reference(reference)
        if found and (found.kind, found.debit, found.amount_nano) != (TransferKind.FUNDING, debit, amount_nano):
            raise Conflict(
                f"reference {reference} was booked for something else",
                code="reference_reused",
                field="reference",
                accepted="a reference of its own for each funding",
            )
        available = accounts.balances[CREDITS_ID].available_nano
        if found is None:
            moved = Transfer(
                TransferId(new_id()), TransferKind.FUNDING, debit, CREDITS_ID, amount_nano, reference=reference
            )
            _post(uow, now, accounts, moved)
            log.record(uow, now, principal, "credits.fund", "credits", amount_nano=amount_nano, source=source)
            available += amount_nano
            uow.commit()
    return Funding(
        found.id if found else moved.id, amount_nano, FundSource(source), reference, available, found is not None
    )


@patient
def refund(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    account_id: AccountId,
    amount_nano: int,
    reason: str,
    order_id: OrderId | None = None,
    idempotency: Idempotency | None = None,
) -> Refund:
    """Pay a buyer out of the credits fund, for one of its orders if named; raises InsufficientFunds above the fund."""
    principal.require(Role.ADMIN)
    check_reason(reason)

    def do() -> Refund:
        find_account(uow, account_id)
        if order_id:
            order = uow.orders.find(order_id, for_update=True)
            if order is None or order.account_id != account_id:
                raise NotFound("order", order_id, accepted="an order of that account")
        accounts = uow.ledger.lock(wallets_of=[account_id], others=[CREDITS_ID])
        wallet = accounts.wallets[account_id]
        paid = Transfer(TransferId(new_id()), TransferKind.REFUND, CREDITS_ID, wallet, amount_nano, order_id=order_id)
        _post(uow, now, accounts, paid)
        log.record(
            uow,
            now,
            principal,
            "credits.refund",
            f"account {account_id}",
            amount_nano=amount_nano,
            order=order_id,
            reason=reason,
        )
        return Refund(paid.id, account_id, order_id, amount_nano)

    with uow:
        paid = once(uow, principal.account_id, idempotency, now, Refund, do)
        uow.commit()
    return paid


def _post(uow: UnitOfWork, now: datetime, accounts: LockedAccounts, transfer: Transfer) -> None:
    books = Books(accounts.balances)
    try:
        books.do(Post(transfer))
    except InsufficientFunds as error:
        raise FundShort(error) from None
    uow.ledger.write(books.applied([]), now)
