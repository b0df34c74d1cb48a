"""Double entry as a pure function: operations in, new balances, holds and transfers out, one outcome per operation.

A *transfer* moves money between two accounts and is never changed. A *hold* reserves money on one account until it is
captured (by transfers that name it) or released; it resolves exactly once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.domain.errors import (
    HoldExceeded,
    HoldResolved,
    InsufficientFunds,
    Invalid,
    NotFound,
    SwarmexError,
)
from backend.domain.ids import HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.money import AMOUNT_NANO_MAX

BALANCE_NANO_MAX = 9 * 10**18  # of any account, either way: what a BIGINT holds; captures only spread what is there

# The market's own two accounts; every database is born with them.
WORLD_ID = LedgerAccountId(UUID("00000000-0000-7000-8000-000000000001"))
FEES_ID = LedgerAccountId(UUID("00000000-0000-7000-8000-000000000002"))


class AccountKind(StrEnum):
    """What a ledger account is for; only `world` may go below zero: it is everything outside the market."""

    WALLET = "wallet"
    EARNINGS = "earnings"
    FEES = "fees"
    WORLD = "world"


class TransferKind(StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    CHARGE = "charge"
    FEE = "fee"


class HoldState(StrEnum):
    """`pending` until resolved: `posted` if anything was captured, else `voided` or `expired`."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Balance:
    """Money of one ledger account, in nano-credits."""

    account: LedgerAccountId
    kind: AccountKind
    posted_nano: int
    reserved_nano: int

    @property
    def available_nano(self) -> int:
        """What a new transfer or hold may use."""
        return self.posted_nano - self.reserved_nano


@dataclass(frozen=True, slots=True)
class Hold:
    """Money of one account set aside, in nano-credits."""

    id: HoldId
    account: LedgerAccountId
    amount_nano: int
    captured_nano: int
    released_nano: int
    state: HoldState
    expires_at: datetime

    @property
    def left_nano(self) -> int:
        """What can still be captured or released."""
        return self.amount_nano - self.captured_nano - self.released_nano


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money moved; an immutable fact."""

    id: TransferId
    kind: TransferKind
    debit: LedgerAccountId
    credit: LedgerAccountId
    amount_nano: int
    hold_id: HoldId | None = None
    order_id: OrderId | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Move money at once, out of what is available."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Reserve:
    """Set money aside on an account."""

    hold_id: HoldId
    account: LedgerAccountId
    amount_nano: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Capture:
    """Move held money: the transfer's debit account must be the hold's and `hold_id` must be set."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Release:
    """Give back all that is left of a hold, which resolves it."""

    hold_id: HoldId
    unused_as: HoldState = HoldState.VOIDED


Operation = Post | Reserve | Capture | Release


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did: an outcome per operation (None: done), and every row that is new or changed."""

    outcomes: tuple[SwarmexError | None, ...]
    balances: tuple[Balance, ...]
    new_holds: tuple[Hold, ...]
    changed_holds: tuple[Hold, ...]
    transfers: tuple[Transfer, ...]


def apply(
    operations: Sequence[Operation],
    balances: Mapping[LedgerAccountId, Balance],
    holds: Mapping[HoldId, Hold] | None = None,
) -> Applied:
    """Apply operations in order; one that cannot be is reported in its place and leaves nothing behind.

    `balances` and `holds` hold every account and hold that the operations name, as locked by the caller. Errors come
    in this order: bad amount, unknown account or hold, resolved hold, hold exceeded, insufficient funds.
    """
    state = _State(dict(balances), dict(holds or {}))
    outcomes: list[SwarmexError | None] = []
    for operation in operations:
        try:
            state.apply(operation)
            outcomes.append(None)
        except SwarmexError as error:
            outcomes.append(error)
    known = holds or {}
    return Applied(
        outcomes=tuple(outcomes),
        balances=tuple(state.balances[a] for a in state.touched_accounts),
        new_holds=tuple(state.holds[h] for h in state.touched_holds if h not in known),
        changed_holds=tuple(state.holds[h] for h in state.touched_holds if h in known),
        transfers=tuple(state.transfers),
    )


class _State:
    """Working copy of the rows while a batch is applied."""

    def __init__(self, balances: dict[LedgerAccountId, Balance], holds: dict[HoldId, Hold]) -> None:
        self.balances = balances
        self.holds = holds
        self.transfers: list[Transfer] = []
        self.touched_accounts: dict[LedgerAccountId, None] = {}
        self.touched_holds: dict[HoldId, None] = {}

    def apply(self, operation: Operation) -> None:
        match operation:
            case Post(transfer):
                self._post(transfer)
            case Reserve():
                self._reserve(operation)
            case Capture(transfer):
                self._capture(transfer)
            case Release():
                self._release(operation)

    def _post(self, transfer: Transfer) -> None:
        _check_amount(transfer.amount_nano)
        debit, credit = self._parties(transfer)
        if max(transfer.amount_nano - debit.posted_nano, transfer.amount_nano + credit.posted_nano) > BALANCE_NANO_MAX:
            raise Invalid(
                "a balance would be too large", code="invalid_amount", field="amount", accepted="a smaller amount"
            )
        _check_funds(debit, transfer.amount_nano)
        self._move(transfer)

    def _reserve(self, operation: Reserve) -> None:
        _check_amount(operation.amount_nano)
        balance = self._balance(operation.account)
        if operation.hold_id in self.holds:
            raise HoldResolved(operation.hold_id, self.holds[operation.hold_id].state)
        _check_funds(balance, operation.amount_nano)
        self._save_hold(
            Hold(
                operation.hold_id,
                balance.account,
                operation.amount_nano,
                0,
                0,
                HoldState.PENDING,
                operation.expires_at,
            )
        )
        self._save(replace(balance, reserved_nano=balance.reserved_nano + operation.amount_nano))

    def _capture(self, transfer: Transfer) -> None:
        _check_amount(transfer.amount_nano)
        debit, _ = self._parties(transfer)
        hold = self._pending(transfer.hold_id, debit.account)
        if transfer.amount_nano > hold.left_nano:
            raise HoldExceeded(hold.id, transfer.amount_nano, hold.left_nano)
        captured = replace(hold, captured_nano=hold.captured_nano + transfer.amount_nano)
        self._save_hold(captured if captured.left_nano else replace(captured, state=HoldState.POSTED))
        self._save(replace(debit, reserved_nano=debit.reserved_nano - transfer.amount_nano))
        self._move(transfer)

    def _release(self, operation: Release) -> None:
        hold = self._pending(operation.hold_id, None)
        balance = self._balance(hold.account)
        self._save_hold(
            replace(
                hold,
                released_nano=hold.released_nano + hold.left_nano,
                state=HoldState.POSTED if hold.captured_nano else operation.unused_as,
            )
        )
        self._save(replace(balance, reserved_nano=balance.reserved_nano - hold.left_nano))

    def _move(self, transfer: Transfer) -> None:
        debit, credit = self.balances[transfer.debit], self.balances[transfer.credit]
        self._save(replace(debit, posted_nano=debit.posted_nano - transfer.amount_nano))
        self._save(replace(credit, posted_nano=credit.posted_nano + transfer.amount_nano))
        self.transfers.append(transfer)

    def _parties(self, transfer: Transfer) -> tuple[Balance, Balance]:
        if transfer.debit == transfer.credit:
            raise Invalid("a transfer needs two different accounts", code="same_account", field="credit")
        return self._balance(transfer.debit), self._balance(transfer.credit)

    def _balance(self, account: LedgerAccountId) -> Balance:
        try:
            return self.balances[account]
        except KeyError:
            raise NotFound("ledger account", account) from None

    def _pending(self, hold_id: HoldId | None, account: LedgerAccountId | None) -> Hold:
        """A hold that is not resolved yet, of `account` if one is named."""
        hold = self.holds.get(hold_id) if hold_id is not None else None
        if hold is None or account not in (None, hold.account):
            raise NotFound("hold", hold_id)
        if hold.state is not HoldState.PENDING:
            raise HoldResolved(hold.id, hold.state)
        return hold

    def _save(self, balance: Balance) -> None:
        self.balances[balance.account] = balance
        self.touched_accounts[balance.account] = None

    def _save_hold(self, hold: Hold) -> None:
        self.holds[hold.id] = hold
        self.touched_holds[hold.id] = None


def _check_amount(amount_nano: int) -> None:
    if not 0 < amount_nano <= AMOUNT_NANO_MAX:
        raise Invalid(
            f"{amount_nano} nano-credits cannot be moved",
            code="invalid_amount",
            field="amount",
            accepted=f"1 to {AMOUNT_NANO_MAX} nano-credits",
        )


def _check_funds(balance: Balance, amount_nano: int) -> None:
    if balance.kind is not AccountKind.WORLD and balance.available_nano < amount_nano:
        raise InsufficientFunds(balance.account, amount_nano, balance.available_nano)
