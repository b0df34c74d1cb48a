"""What the books are made of: accounts with balances, holds, and transfers that are never changed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.domain.ids import HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.records import record

# The market's own accounts; every database is born with them.
WORLD_ID = LedgerAccountId(UUID("00000000-0000-7000-8000-000000000001"))
FEES_ID = LedgerAccountId(UUID("00000000-0000-7000-8000-000000000002"))
CREDITS_ID = LedgerAccountId(UUID("00000000-0000-7000-8000-000000000003"))


class AccountKind(StrEnum):
    """What a ledger account is for; only `world` may go below zero: it is everything outside the market."""

    WALLET = "wallet"  # a buyer's money
    EARNINGS = "earnings"  # a provider's
    WITHHELD = "withheld"  # a provider's, until an SLA window or a dispute is over
    FEES = "fees"  # the market's share
    CREDITS = "credits"  # what the market itself gives: goodwill, and refunds whose payee has nothing left
    WORLD = "world"


OWNED_KINDS = (AccountKind.WALLET, AccountKind.EARNINGS, AccountKind.WITHHELD)


class TransferKind(StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"  # world → wallet
    FUNDING = "funding"  # world or fees → credits
    CHARGE = "charge"  # wallet → earnings
    FEE = "fee"  # wallet → fees
    WITHHOLD = "withhold"  # earnings → withheld
    RESTORE = "restore"  # withheld → earnings
    SLA_CREDIT = "sla_credit"  # withheld → wallet
    REFUND = "refund"  # credits → wallet
    PAYOUT = "payout"  # earnings → world
    REVERSAL = "reversal"  # the mirror of any other


CAPTURING = (TransferKind.CHARGE, TransferKind.FEE, TransferKind.PAYOUT)  # out of a hold, never out of the blue


class HoldState(StrEnum):
    """`pending` until resolved: `posted` if anything was captured, else `voided` or `expired`."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
class Transfer:
    """Money moved; an immutable fact.

    `original_id` is what a reversal undoes, or what a charge replaces that was reversed to be rated anew.
    """

    id: TransferId
    kind: TransferKind
    debit: LedgerAccountId
    credit: LedgerAccountId
    amount_nano: int
    hold_id: HoldId | None = None
    order_id: OrderId | None = None
    reference: str | None = None
    original_id: TransferId | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer that is in the books already, and whether it was reversed since."""

    transfer: Transfer
    reversed: bool


def mirror(original: Transfer, reversal_id: TransferId) -> Transfer:
    """The transfer that undoes another, whole: corrections are a reversal and, if need be, a new charge."""
    return Transfer(
        reversal_id,
        TransferKind.REVERSAL,
        original.credit,
        original.debit,
        original.amount_nano,
        order_id=original.order_id,
        original_id=original.id,
    )
