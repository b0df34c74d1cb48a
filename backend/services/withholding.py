"""A provider's money that waits for an SLA window or a dispute to be over. All inside the caller's unit of work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import Conflict
from backend.domain.ids import AccountId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import Books, Linked, Post, Transfer, TransferKind
from backend.storage.ids import new_id
from backend.storage.ledger import LockedAccounts
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Claim:
    """Earnings of an order that are to wait, in nano-credits."""

    provider: AccountId
    amount_nano: int
    order_id: OrderId
    reference: str


@dataclass(frozen=True, slots=True)
class Due:
    """What was withheld of a provider, and how much of it a buyer is owed; its transfers' references begin alike."""

    account: AccountId
    provider: AccountId
    withheld_nano: int
    owed_nano: int
    reference: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was taken from earnings to pay a credit, and the credit, in nano-credits."""

    topped_up_nano: int
    credit_nano: int


def withhold_left(uow: UnitOfWork, now: datetime, claims: Sequence[Claim]) -> list[int]:
    """Set aside what providers still have of each claim; returns how much, after a constant number of statements."""
    owners = {claim.provider for claim in claims}
    accounts = uow.ledger.lock(earnings_of=owners, withheld_of=owners)
    books, left, taken = Books(accounts.balances), _left(accounts, owners), []
    for claim in claims:
        source, target = accounts.earnings[claim.provider], accounts.withheld[claim.provider]
        amount = min(claim.amount_nano, left[claim.provider])
        left[claim.provider] -= amount
        taken.append(amount)
        _post(books, TransferKind.WITHHOLD, source, target, amount, claim.reference, claim.order_id)
    uow.ledger.write(books.applied([]), now)
    return taken


def resolve(uow: UnitOfWork, now: datetime, dues: Sequence[Due]) -> list[Resolved]:
    """Pay each buyer out of what is withheld, the rest out of what the provider has, and give the provider the rest.

    What a provider has not, nobody gets. After a constant number of statements.
    """
    owners = {due.provider for due in dues}
    accounts = uow.ledger.lock(wallets_of={due.account for due in dues}, earnings_of=owners, withheld_of=owners)
    books, left, resolved = Books(accounts.balances), _left(accounts, owners), []
    for due in dues:
        earnings, withheld = accounts.earnings[due.provider], accounts.withheld[due.provider]
        more = min(max(0, due.owed_nano - due.withheld_nano), left[due.provider])
        credit = min(due.owed_nano, due.withheld_nano + more)
        back = due.withheld_nano + more - credit
        left[due.provider] += back - more
        _post(books, TransferKind.WITHHOLD, earnings, withheld, more, f"{due.reference} more")
        _post(books, TransferKind.SLA_CREDIT, withheld, accounts.wallets[due.account], credit, due.reference)
        _post(books, TransferKind.RESTORE, withheld, earnings, back, f"{due.reference} back")
        resolved.append(Resolved(more, credit))
    uow.ledger.write(books.applied([]), now)
    return resolved


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


def _left(accounts: LockedAccounts, providers: Collection[AccountId]) -> dict[AccountId, int]:
    """What providers have available."""
    return {provider: accounts.balances[accounts.earnings[provider]].available_nano for provider in providers}


def _post(
    books: Books,
    kind: TransferKind,
    source: LedgerAccountId,
    target: LedgerAccountId,
    amount_nano: int,
    reference: str,
    order_id: OrderId | None = None,
) -> None:
    """Move an amount, unless it is nothing."""
    if amount_nano:
        moved = Transfer(
            TransferId(new_id()), kind, source, target, amount_nano, order_id=order_id, reference=reference
        )
        books.do(Post(moved))


def _write(uow: UnitOfWork, now: datetime, accounts: LockedAccounts, transfers: Sequence[Transfer]) -> Transfer:
    """Post all or none; returns the last."""
    books = Books(accounts.balances)
    books.do(Linked(tuple(Post(transfer) for transfer in transfers)))
    uow.ledger.write(books.applied([]), now)
    return transfers[-1]
