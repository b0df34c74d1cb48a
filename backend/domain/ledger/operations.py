"""What can be asked of the books."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.ids import HoldId, LedgerAccountId
from backend.domain.ledger.records import HoldState, Transfer
from backend.domain.records import record


@record(frozen=True, slots=True)
class Post:
    """Move money at once, out of what is available."""

    transfer: Transfer


@record(frozen=True, slots=True)
class Reserve:
    """Set money aside on an account."""

    hold_id: HoldId
    account: LedgerAccountId
    amount_nano: int
    expires_at: datetime


@record(frozen=True, slots=True)
class Raise:
    """Set more aside under a hold that is pending."""

    hold_id: HoldId
    by_nano: int


@record(frozen=True, slots=True)
class Capture:
    """Move held money, in one step or several: the debit account must be the hold's, `hold_id` must be set."""

    transfer: Transfer


@record(frozen=True, slots=True)
class Release:
    """Give back a part of a hold, or all that is left of it; with nothing left it is resolved."""

    hold_id: HoldId
    unused_as: HoldState = HoldState.VOIDED
    amount_nano: int | None = None


@dataclass(frozen=True, slots=True)
class Expire:
    """Give back all that is left of a hold whose time is over at `now`."""

    hold_id: HoldId
    now: datetime


@dataclass(frozen=True, slots=True)
class Reverse:
    """Undo a transfer, once and whole: `transfer` is its mirror."""

    transfer: Transfer


Operation = Post | Reserve | Raise | Capture | Release | Expire | Reverse


@dataclass(frozen=True, slots=True)
class Linked:
    """Operations that are done all or none; the error of the first that cannot be is that of the group."""

    operations: tuple[Operation, ...]
