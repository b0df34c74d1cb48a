"""How balances, holds and transfers are read from rows and written to them: said here for all that touch the books."""

from typing import Any

from backend.domain.ids import TransferId
from backend.domain.ledger import AccountKind, Balance, Hold, HoldState, Transfer, TransferKind

TRANSFER = "t.id, t.kind, t.debit_id, t.credit_id, t.amount_nano, t.hold_id, t.order_id, t.reference, t.original_id"
# Looked up, not called: see `order_rows`.
_KINDS = {str(kind): kind for kind in AccountKind}
_STATES = {str(state): state for state in HoldState}
HOLD = "h.id, h.account_id, h.amount_nano, h.captured_nano, h.released_nano, h.state, h.expires_at"


def read_balance(row: Any) -> Balance:
    """The balance of a ledger account."""
    return Balance(row.id, _KINDS[row.kind], row.posted_nano, row.reserved_nano)


def read_hold(row: Any) -> Hold:
    """The hold of a row that begins with the columns HOLD."""
    id_, account_id, amount_nano, captured_nano, released_nano, state, expires_at, *_ = row
    return Hold(id_, account_id, amount_nano, captured_nano, released_nano, _STATES[state], expires_at)


def read_transfer(row: Any) -> Transfer:
    """The transfer of the columns TRANSFER."""
    return Transfer(
        TransferId(row.id),
        TransferKind(row.kind),
        row.debit_id,
        row.credit_id,
        row.amount_nano,
        row.hold_id,
        row.order_id,
        row.reference,
        row.original_id,
    )


def hold_values(hold: Hold) -> dict[str, object]:
    """What of a hold is written, new or changed."""
    return {
        "id": hold.id,
        "amount_nano": hold.amount_nano,
        "captured_nano": hold.captured_nano,
        "released_nano": hold.released_nano,
        "state": str(hold.state),
    }


def transfer_values(transfer: Transfer) -> dict[str, object]:
    """What of a transfer is written, but for its time."""
    return {
        "id": transfer.id,
        "kind": str(transfer.kind),
        "debit_id": transfer.debit,
        "credit_id": transfer.credit,
        "amount_nano": transfer.amount_nano,
        "hold_id": transfer.hold_id,
        "order_id": transfer.order_id,
        "reference": transfer.reference,
        "original_id": transfer.original_id,
    }
