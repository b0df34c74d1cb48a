"""Accounts, holds and operations for the ledger's tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    FEES_ID,
    WORLD_ID,
    AccountKind,
    Applied,
    Balance,
    Capture,
    Hold,
    HoldState,
    Operation,
    Post,
    Release,
    Reserve,
    Transfer,
    TransferKind,
    apply,
)

EXPIRES_AT = datetime(2030, 1, 1, tzinfo=UTC)


def account_id(number: int) -> LedgerAccountId:
    """The ledger account of that number."""
    return LedgerAccountId(UUID(int=number))


def hold_id(number: int) -> HoldId:
    """The hold of that number."""
    return HoldId(UUID(int=number))


WALLET, SECOND_WALLET, EARNINGS, UNKNOWN = (account_id(number) for number in (1, 2, 3, 99))
KINDS = {
    WALLET: AccountKind.WALLET,
    SECOND_WALLET: AccountKind.WALLET,
    EARNINGS: AccountKind.EARNINGS,
    FEES_ID: AccountKind.FEES,
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

    def do(self, *operations: Operation) -> Applied:
        """Apply a batch and record the rows that it returns."""
        applied = apply(operations, self.balances, self.holds)
        self.balances.update({balance.account: balance for balance in applied.balances})
        self.holds.update({hold.id: hold for hold in (*applied.new_holds, *applied.changed_holds)})
        self.transfers += applied.transfers
        return applied


def transfer(
    amount_nano: int,
    debit: LedgerAccountId = WALLET,
    credit: LedgerAccountId = EARNINGS,
    hold: HoldId | None = None,
    number: int = 0,
) -> Transfer:
    """A transfer; a charge if it names a hold, else a deposit."""
    kind = TransferKind.CHARGE if hold else TransferKind.DEPOSIT
    return Transfer(TransferId(UUID(int=number)), kind, debit, credit, amount_nano, hold)


def deposit(amount_nano: int, wallet: LedgerAccountId = WALLET) -> Post:
    """Money from outside."""
    return Post(transfer(amount_nano, WORLD_ID, wallet))


def reserve(number: int, amount_nano: int, account: LedgerAccountId = WALLET) -> Reserve:
    """The hold of that number."""
    return Reserve(hold_id(number), account, amount_nano, EXPIRES_AT)


def capture(
    number: int, amount_nano: int, debit: LedgerAccountId = WALLET, credit: LedgerAccountId = EARNINGS
) -> Capture:
    """A charge on the hold of that number."""
    return Capture(transfer(amount_nano, debit, credit, hold_id(number)))


def release(number: int, unused_as: HoldState = HoldState.VOIDED) -> Release:
    """The end of the hold of that number."""
    return Release(hold_id(number), unused_as)


def codes(applied: Applied) -> list[str | None]:
    """What became of each operation: None, or the code of its error."""
    return [error.code if error else None for error in applied.outcomes]


_amounts = st.integers(-2, 60)
_accounts = st.sampled_from([*KINDS, UNKNOWN])
_holds = st.integers(1, 4)
_operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(deposit, _amounts, _accounts),
    st.builds(Post, st.builds(transfer, _amounts, _accounts, _accounts)),
    st.builds(reserve, _holds, _amounts, _accounts),
    st.builds(capture, _holds, _amounts, debit=_accounts, credit=_accounts),
    st.builds(capture, _holds, _amounts),
    st.builds(release, _holds, st.sampled_from([HoldState.VOIDED, HoldState.EXPIRED])),
)
batches: st.SearchStrategy[Sequence[Operation]] = st.lists(_operations, max_size=12)
"""Operations on few accounts and holds, good and bad ones, so that they meet."""


def opened() -> Ledger:
    """A ledger with money in both wallets, one pending hold (1: 40 of wallet) and one resolved (2)."""
    ledger = Ledger()
    ledger.do(deposit(100), deposit(50, SECOND_WALLET), reserve(1, 40), reserve(2, 10), release(2))
    return ledger
