"""A provider's money that waits for an SLA window or a dispute to be over. All inside the caller's unit of work."""

from collections.abc import Sequence
from datetime import datetime

from backend.domain.errors import Conflict
from backend.domain.ids import AccountId, OrderId, TransferId
from backend.domain.ledger import Books, Linked, Post, Transfer, TransferKind
from backend.storage.ids import new_id
from backend.storage.ledger import LockedAccounts
from backend.storage.unit_of_work import UnitOfWork


def withhold(uow: UnitOfWork, now: datetime, provider: AccountId, amount_nano: int, order_id: OrderId) -> Transfer:
    """Set earnings of an order aside; raises InsufficientFunds when the provider has not that much left."""
    accounts = uow.ledger.lock(earnings_of=[provider], withheld_of=[provider])
    source, target = accounts.earnings[provider], accounts.withheld[provider]
    moved = Transfer(TransferId(new_id()), TransferKind.WITHHOLD, source, target, amount_nano, order_id=order_id)
    return _write(uow, now, accounts, [moved])


def restore(uow: UnitOfWork, now: datetime, provider: AccountId, amount_nano: int, order_id: OrderId) -> Transfer:
    """Give withheld earnings of an order back; raises InsufficientFunds above what is withheld."""
    accounts = uow.ledger.lock(earnings_of=[provider], withheld_of=[provider])
    source, target = accounts.withheld[provider], accounts.earnings[provider]
    moved = Transfer(TransferId(new_id()), TransferKind.RESTORE, source, target, amount_nano, order_id=order_id)
    return _write(uow, now, accounts, [moved])


def sla_credit(
    uow: UnitOfWork,
    now: datetime,
    account: AccountId,
    provider: AccountId,
    amount_nano: int,
    reference: str,
    order_id: OrderId | None = None,
) -> Transfer:
    """Pay a buyer for a service level that was missed: out of what is withheld, the rest out of earnings.

    Once per reference: again, it is the first transfer. Raises InsufficientFunds if the provider has less in all, and
    Conflict(`reference_reused`) for a reference that stands for something else.
    """
    accounts = uow.ledger.lock(wallets_of=[account], earnings_of=[provider], withheld_of=[provider])
    wallet, withheld = accounts.wallets[account], accounts.withheld[provider]
    if found := uow.ledger.transfer_with_reference(reference):
        if (found.debit, found.credit, found.amount_nano) != (withheld, wallet, amount_nano):
            raise Conflict(
                f"reference {reference} stands for something else",
                code="reference_reused",
                field="reference",
                accepted="a reference of its own for each credit",
            )
        return found
    paid = Transfer(
        TransferId(new_id()),
        TransferKind.SLA_CREDIT,
        withheld,
        wallet,
        amount_nano,
        order_id=order_id,
        reference=reference,
    )
    missing = amount_nano - accounts.balances[withheld].available_nano
    if missing <= 0:
        return _write(uow, now, accounts, [paid])
    topped_up = Transfer(
        TransferId(new_id()), TransferKind.WITHHOLD, accounts.earnings[provider], withheld, missing, order_id=order_id
    )
    return _write(uow, now, accounts, [topped_up, paid])


def _write(uow: UnitOfWork, now: datetime, accounts: LockedAccounts, transfers: Sequence[Transfer]) -> Transfer:
    """Post all or none; returns the last."""
    books = Books(accounts.balances)
    books.do(Linked(tuple(Post(transfer) for transfer in transfers)))
    uow.ledger.write(books.applied([]), now)
    return transfers[-1]
