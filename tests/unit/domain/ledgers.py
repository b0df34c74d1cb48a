"""Accounts, holds, transfers and operations for the ledger's tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    CREDITS_ID,
    FEES_ID,
    WORLD_ID,
    AccountKind,
    Applied,
    Balance,
    Capture,
    Expire,
    Hold,
    HoldState,
    Linked,
    Operation,
    Post,
    Posted,
    Raise,
    Release,
    Reserve,
    Reverse,
    Transfer,
    TransferKind,
    apply,
    mirror,
)

EXPIRES_AT = datetime(2030, 1, 1, tzinfo=UTC)
ROUTES = {
    (AccountKind.WORLD, AccountKind.WALLET): TransferKind.DEPOSIT,
    (AccountKind.WORLD, AccountKind.CREDITS): TransferKind.FUNDING,
    (AccountKind.FEES, AccountKind.CREDITS): TransferKind.FUNDING,
    (AccountKind.WALLET, AccountKind.EARNINGS): TransferKind.CHARGE,
    (AccountKind.WALLET, AccountKind.FEES): TransferKind.FEE,
    (AccountKind.EARNINGS, AccountKind.WITHHELD): TransferKind.WITHHOLD,
    (AccountKind.WITHHELD, AccountKind.EARNINGS): TransferKind.RESTORE,
    (AccountKind.WITHHELD, AccountKind.WALLET): TransferKind.SLA_CREDIT,
    (AccountKind.CREDITS, AccountKind.WALLET): TransferKind.REFUND,
    (AccountKind.EARNINGS, AccountKind.WORLD): TransferKind.PAYOUT,
}


def account_id(number: int) -> LedgerAccountId:
    """The ledger account of that number."""
    return LedgerAccountId(UUID(int=number))


def hold_id(number: int) -> HoldId:
    """The hold of that number."""
    return HoldId(UUID(int=number))


def transfer_id(number: int) -> TransferId:
    """The transfer of that number."""
    return TransferId(UUID(int=number))


WALLET, SECOND_WALLET, EARNINGS, WITHHELD, UNKNOWN = (account_id(number) for number in (1, 2, 3, 4, 99))
KINDS = {
    WALLET: AccountKind.WALLET,
    SECOND_WALLET: AccountKind.WALLET,
    EARNINGS: AccountKind.EARNINGS,
    WITHHELD: AccountKind.WITHHELD,
    FEES_ID: AccountKind.FEES,
    CREDITS_ID: AccountKind.CREDITS,
    WORLD_ID: AccountKind.WORLD,
}


@dataclass
class Ledger:
    """What a database would hold: `do` locks everything, applies, and writes what changed."""

    balances: dict[LedgerAccountId, Balance] = field(
        default_factory=lambda: {account: Balance(account, kind, 0, 0) for account, kind in KINDS.items()}
    )
    holds: dict[HoldId, Hold] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)

    @property
    def posted(self) -> Mapping[TransferId, Posted]:
        """Every transfer, and whether another undoes it."""
        undone = {moved.original_id for moved in self.transfers if moved.kind is TransferKind.REVERSAL}
        return {moved.id: Posted(moved, moved.id in undone) for moved in self.transfers}

    def do(self, *operations: Operation | Linked) -> Applied:
        """Apply a batch and record the rows that it returns."""
        applied = apply(operations, self.balances, self.holds, self.posted)
        self.balances.update({balance.account: balance for balance in applied.balances})
        self.holds.update({hold.id: hold for hold in (*applied.new_holds, *applied.changed_holds)})
        self.transfers += applied.transfers
        return applied

    def available(self, account: LedgerAccountId) -> int:
        """What an account may spend."""
        return self.balances[account].available_nano

    def hold(self, number: int) -> Hold:
        """The hold of that number."""
        return self.holds[hold_id(number)]


def transfer(
    amount_nano: int,
    debit: LedgerAccountId = WALLET,
    credit: LedgerAccountId = EARNINGS,
    hold: HoldId | None = None,
    number: int = 0,
) -> Transfer:
    """A transfer of the kind that belongs between its accounts; a charge where none does."""
    route = KINDS.get(debit, AccountKind.WALLET), KINDS.get(credit, AccountKind.EARNINGS)
    kind = ROUTES.get(route, TransferKind.CHARGE)
    return Transfer(transfer_id(number), kind, debit, credit, amount_nano, hold)


def deposit(amount_nano: int, wallet: LedgerAccountId = WALLET, number: int = 0) -> Post:
    """Money from outside."""
    return Post(transfer(amount_nano, WORLD_ID, wallet, number=number))


def pay(amount_nano: int, number: int = 0) -> Post:
    """A charge that needs no hold, from wallet to earnings."""
    return Post(transfer(amount_nano, number=number))


def reserve(number: int, amount_nano: int, account: LedgerAccountId = WALLET) -> Reserve:
    """The hold of that number."""
    return Reserve(hold_id(number), account, amount_nano, EXPIRES_AT)


def more(number: int, by_nano: int) -> Raise:
    """The hold of that number, raised."""
    return Raise(hold_id(number), by_nano)


def capture(
    number: int, amount_nano: int, debit: LedgerAccountId = WALLET, credit: LedgerAccountId = EARNINGS
) -> Capture:
    """A charge on the hold of that number."""
    return Capture(transfer(amount_nano, debit, credit, hold_id(number)))


def release(number: int, unused_as: HoldState = HoldState.VOIDED, amount_nano: int | None = None) -> Release:
    """The end of the hold of that number, or a part of it back."""
    return Release(hold_id(number), unused_as, amount_nano)


def expire(number: int, now: datetime = EXPIRES_AT) -> Expire:
    """The end in time of the hold of that number."""
    return Expire(hold_id(number), now)


def reverse(original: Transfer, number: int = 0) -> Reverse:
    """The whole of a transfer, back."""
    return Reverse(mirror(original, transfer_id(number)))


def linked(*operations: Operation) -> Linked:
    """All of these or none."""
    return Linked(operations)


def codes(applied: Applied) -> list[str | None]:
    """What became of each operation: None, or the code of its error."""
    return [error.code if error else None for error in applied.outcomes]


PENDING, RESOLVED, ABSENT = 1, 2, 9  # holds of `opened()`
PAID = transfer(20, number=103)  # a transfer of `opened()`


def opened() -> Ledger:
    """A ledger with 60 available in wallet, 50 in the second wallet, 20 earned, and two holds.

    One is pending (`PENDING`: 40 of wallet), one is voided (`RESOLVED`); `PAID` is what was earned.
    """
    ledger = Ledger()
    ledger.do(deposit(120, number=101), deposit(50, SECOND_WALLET, number=102), Post(PAID))
    ledger.do(reserve(PENDING, 40), reserve(RESOLVED, 10), release(RESOLVED))
    return ledger
