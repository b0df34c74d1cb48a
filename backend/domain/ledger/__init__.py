"""The ledger: double entry with holds, as pure functions on rows that the caller has locked."""

from backend.domain.ledger.books import Applied, Books, apply
from backend.domain.ledger.checks import BALANCE_NANO_MAX
from backend.domain.ledger.operations import (
    Capture,
    Expire,
    Linked,
    Operation,
    Post,
    Raise,
    Release,
    Reserve,
    Reverse,
)
from backend.domain.ledger.records import (
    CAPTURING,
    CREDITS_ID,
    FEES_ID,
    OWNED_KINDS,
    WORLD_ID,
    AccountKind,
    Balance,
    Hold,
    HoldState,
    Posted,
    Transfer,
    TransferKind,
    mirror,
)

__all__ = [
    "BALANCE_NANO_MAX",
    "CAPTURING",
    "CREDITS_ID",
    "FEES_ID",
    "OWNED_KINDS",
    "WORLD_ID",
    "AccountKind",
    "Applied",
    "Balance",
    "Books",
    "Capture",
    "Expire",
    "Hold",
    "HoldState",
    "Linked",
    "Operation",
    "Post",
    "Posted",
    "Raise",
    "Release",
    "Reserve",
    "Reverse",
    "Transfer",
    "TransferKind",
    "apply",
    "mirror",
]
