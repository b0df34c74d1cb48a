"""The books on the wire: transfers, statements, corrections, and the market's credits fund."""

from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from backend.api.wire.base import Amount, Answer, Credits, Id, Text, Wire
from backend.domain.access import Principal, Role
from backend.domain.corrections import REASON_CHARS_MAX
from backend.domain.money import format_credits
from backend.services import corrections, credits, statements
from backend.storage.statements import Entry, Side

Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[
    datetime,
    Field(strict=False, description="ISO 8601; UTC unless it says otherwise.", examples=["2026-10-01T00:00:00Z"]),
    AfterValidator(_in_utc),
]


class Party(Answer):
    """One end of a transfer; whose it is, is told to admins and to whom it belongs."""

    kind: str
    account: UUID | None

    @classmethod
    def of(cls, side: Side, caller: Principal) -> Self:
        """A party as a caller may see it."""
        told = caller.role is Role.ADMIN or side.owner_id == caller.account_id
        return cls(kind=side.kind, account=side.owner_id if told else None)


class Transfer(Answer):
    """Money that moved, and what corrected it since: `original` is what it reverses or replaces."""

    id: UUID
    kind: str
    amount: Amount
    debit: Party
    credit: Party
    hold: UUID | None
    order: UUID | None
    reference: str | None
    original: UUID | None
    reversed_by: UUID | None
    replaced_by: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, entry: Entry, caller: Principal) -> Self:
        """A transfer as a caller may see it."""
        transfer = entry.transfer
        return cls(
            id=transfer.id,
            kind=transfer.kind,
            amount=format_credits(transfer.amount_nano),
            debit=Party.of(entry.debit, caller),
            credit=Party.of(entry.credit, caller),
            hold=transfer.hold_id,
            order=transfer.order_id,
            reference=transfer.reference,
            original=transfer.original_id,
            reversed_by=entry.reversed_by,
            replaced_by=entry.replaced_by,
            created_at=entry.created_at,
        )


class TransferList(Answer):
    """Transfers, newest first; `next_before` continues below."""

    transfers: list[Transfer]
    next_before: UUID | None

    @classmethod
    def of(cls, entries: list[Entry], caller: Principal, limit: int) -> Self:
        """A page of at most `limit` transfers as a caller may see them."""
        following = entries[-1].transfer.id if len(entries) == limit else None
        return cls(transfers=[Transfer.of(entry, caller) for entry in entries], next_before=following)


class StatementRow(Answer):
    """A transfer as the account sees it: what it brought (below zero: took), and what the account has then."""

    transfer: Transfer
    change: Amount
    balance: Amount


class Statement(Answer):
    """A page of a statement: opening + changes = closing; `next_after` continues it."""

    account: UUID | None
    kind: str
    since: datetime | None
    until: datetime | None
    opening: Amount
    rows: list[StatementRow]
    closing: Amount
    next_after: UUID | None

    @classmethod
    def of(cls, made: statements.Statement, caller: Principal) -> Self:
        """The wire form of a page of a statement."""
        return cls(
            account=made.account_id,
            kind=made.kind,
            since=made.since,
            until=made.until,
            opening=format_credits(made.opening_nano),
            rows=[
                StatementRow(
                    transfer=Transfer.of(row.entry, caller),
                    change=format_credits(row.change_nano),
                    balance=format_credits(row.balance_nano),
                )
                for row in made.rows
            ],
            closing=format_credits(made.closing_nano),
            next_after=made.next_after,
        )


class Reversal(Wire):
    """What to undo of a transfer: all of it, or with `amount` so much that this is what was paid in all."""

    reason: Reason
    with_fee: bool = Field(default=False, description="Of a charge: also the fee that was taken on it.")
    from_fund: bool = Field(default=False, description="Let the credits fund pay what the payee has not any more.")
    amount: Credits | None = Field(default=None, description="What charge and fee together should have been.")


class Correction(Answer):
    """The transfers that corrected something, and how much of it the credits fund paid."""

    transfers: list[UUID]
    from_fund: Amount

    @classmethod
    def of(cls, made: corrections.Correction) -> Self:
        """The wire form of a correction."""
        return cls(transfers=[t.id for t in made.transfers], from_fund=format_credits(made.from_fund_nano))


class FundingRequest(Wire):
    """Money for the credits fund, out of the market's fees or from outside, once per reference."""

    amount: Credits
    source: Text = Field(json_schema_extra={"enum": [source.value for source in credits.FundSource]})
    reference: Text


class Funding(Answer):
    """A funding; `repeated` when its reference was booked before."""

    transfer_id: UUID
    amount: Amount
    source: str
    reference: str
    available: Amount
    repeated: bool

    @classmethod
    def of(cls, made: credits.Funding) -> Self:
        """The wire form of a funding."""
        return cls(
            transfer_id=made.transfer_id,
            amount=format_credits(made.amount_nano),
            source=made.source,
            reference=made.reference,
            available=format_credits(made.available_nano),
            repeated=made.repeated,
        )


class RefundRequest(Wire):
    """What the credits fund pays a buyer, for one of its orders if named."""

    account: Id
    amount: Credits
    reason: Reason
    order: Id | None = None


class Refund(Answer):
    """A refund out of the credits fund."""

    transfer_id: UUID
    account: UUID
    order: UUID | None
    amount: Amount

    @classmethod
    def of(cls, made: credits.Refund) -> Self:
        """The wire form of a refund."""
        return cls(
            transfer_id=made.transfer_id,
            account=made.account_id,
            order=made.order_id,
            amount=format_credits(made.amount_nano),
        )
