"""What is told of transfers, holds, statements, payouts, disputes and fees: as in the HTTP API, and as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from backend.cli.output import figures, identity, table, words
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.domain.disputes import Dispute
    from backend.domain.fees import FeeVersion
    from backend.domain.payouts import Payout
    from backend.services.statements import Row
    from backend.storage.statements import Entry, HeldFor, Side

Document = dict[str, Any]


def transfer(entry: "Entry") -> Document:
    """A transfer with what corrected it."""
    moved = entry.transfer
    return {
        "id": moved.id,
        "kind": moved.kind,
        "amount": format_credits(moved.amount_nano),
        "debit": _party(entry.debit),
        "credit": _party(entry.credit),
        "hold": moved.hold_id,
        "order": moved.order_id,
        "reference": moved.reference,
        "original": moved.original_id,
        "reversed_by": entry.reversed_by,
        "replaced_by": entry.replaced_by,
        "created_at": entry.created_at,
    }


def _party(side: "Side") -> Document:
    return {"kind": side.kind, "account": side.owner_id}


def hold(held: "HeldFor") -> Document:
    """A hold: held = captured + released + left."""
    return {
        "id": held.hold.id,
        "account": held.owner_id,
        "state": held.hold.state,
        "held": format_credits(held.hold.amount_nano),
        "captured": format_credits(held.hold.captured_nano),
        "released": format_credits(held.hold.released_nano),
        "left": format_credits(held.hold.left_nano),
        "created_at": held.created_at,
        "expires_at": held.hold.expires_at,
    }


def row(made: "Row") -> Document:
    """A row of a statement."""
    return {
        "transfer": transfer(made.entry),
        "change": format_credits(made.change_nano),
        "balance": format_credits(made.balance_nano),
    }


def payout(made: "Payout") -> Document:
    """Earnings on their way out."""
    return {
        "id": made.id,
        "account": made.account_id,
        "amount": format_credits(made.amount_nano),
        "state": made.state,
        "destination": made.destination,
        "reference": made.reference,
        "reason": made.reason,
        "requested_at": made.requested_at,
        "decided_at": made.decided_at,
        "closed_at": made.closed_at,
    }


def dispute(made: "Dispute") -> Document:
    """A contested order."""
    return {
        "id": made.id,
        "account": made.account_id,
        "order": made.order_id,
        "reason": made.reason,
        "state": made.state,
        "withheld": format_credits(made.withheld_nano),
        "refunded": None if made.refunded_nano is None else format_credits(made.refunded_nano),
        "resolution": made.resolution,
        "opened_at": made.opened_at,
        "resolved_at": made.resolved_at,
    }


def fee(version: "FeeVersion") -> Document:
    """A version of a tier's fee."""
    return {
        "tier": version.tier,
        "version": version.version,
        "fee_ppm": version.fee_ppm,
        "valid_from": version.valid_from,
        "created_at": version.created_at,
    }


def transfers(documents: Sequence[Document], title: str | None = None) -> Table:
    """Transfers as a table."""
    columns = [identity("Transfer"), words("Time"), words("Kind"), words("From"), words("To"), figures("Amount")]
    columns.append(words("Corrects or corrected"))
    return table(
        columns,
        [
            (d["id"], d["created_at"], d["kind"], d["debit"]["kind"], d["credit"]["kind"], d["amount"], _corrected(d))
            for d in documents
        ],
        title,
    )


def holds(documents: Sequence[Document], title: str | None = None) -> Table:
    """Holds as a table."""
    columns = [identity("Hold"), words("Since"), figures("Held"), figures("Captured"), figures("Left"), words("Until")]
    return table(
        columns,
        [(d["id"], d["created_at"], d["held"], d["captured"], d["left"], d["expires_at"]) for d in documents],
        title,
    )


def statement_rows(documents: Sequence[Document]) -> Table:
    """Rows of a statement as a table."""
    columns = [identity("Transfer"), words("Time"), words("Kind"), words("Reference")]
    return table(
        [*columns, figures("Change"), figures("Balance")],
        [
            (
                d["transfer"]["id"],
                d["transfer"]["created_at"],
                d["transfer"]["kind"],
                d["transfer"]["reference"] or d["transfer"]["order"],
                d["change"],
                d["balance"],
            )
            for d in documents
        ],
    )


def _corrected(document: Document) -> str | None:
    if document["reversed_by"]:
        return f"reversed by {document['reversed_by']}"
    return f"corrects {document['original']}" if document["original"] else None
