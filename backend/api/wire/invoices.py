"""Invoices and credit notes on the wire."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Id, Text, Wire
from backend.api.wire.ledger import Reason
from backend.domain import billing
from backend.domain.billing import format_cents, format_quantity
from backend.domain.money import format_credits
from backend.services.documents import Bill

Month = Annotated[Text, Field(description="A calendar month of the time zone.", examples=["2026-10"])]
Day = Annotated[date, Field(strict=False, description="A day of the time zone.", examples=["2026-10-01"])]
Cents = Annotated[str, Field(examples=["12.34"], description="Credits with two decimals.")]


class DraftRequest(Wire):
    """Whom to bill, and for when: a month, or the days from `from` up to, but without, `to`; else this month."""

    account: Id
    month: Month | None = None
    first: Day | None = Field(default=None, alias="from")
    end: Day | None = Field(default=None, alias="to")
    timezone: Text = "UTC"


class Payment(Wire):
    """That a document was settled outside, under that payment's own reference."""

    reference: Text = Field(examples=["SEPA-2026-11-03-0042"])


class Voiding(Wire):
    """Why a document is void."""

    reason: Reason


class Line(Answer):
    """One line: `amount` is exact, `rounded` its share of the document's cents; late reversals name their transfer."""

    kind: str
    tier: str | None
    description: str
    quantity: str | None = Field(description="A decimal string, in `unit`s.")
    unit: str | None
    amount: Amount
    rounded: Cents
    transfer: UUID | None

    @classmethod
    def of(cls, line: billing.Line) -> Self:
        """The wire form of a line."""
        return cls(
            kind=line.kind,
            tier=line.tier,
            description=line.description,
            quantity=None if line.quantity_micro is None else format_quantity(line.quantity_micro),
            unit=line.unit,
            amount=format_credits(line.amount_nano),
            rounded=format_cents(line.cents),
            transfer=line.transfer_id,
        )


class Summary(Answer):
    """A document without its lines: carried in + total = amount + carried out. `period_end` is not part of it."""

    id: UUID | None
    account: UUID
    kind: str
    number: str | None
    state: str
    period_start: datetime
    period_end: datetime
    timezone: str
    credits: UUID | None = Field(description="The invoice that a credit note is for.")
    total: Amount
    carried_in: Amount
    amount: Cents
    carried_out: Amount
    reason: str | None
    reference: str | None
    created_at: datetime
    finalised_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, document: billing.Document) -> Self:
        """The wire form of a document."""
        return cls(**_facts(document))


class Invoice(Summary):
    """A document with its lines."""

    lines: list[Line]

    @classmethod
    def of_bill(cls, bill: Bill) -> Self:
        """The wire form of a bill."""
        return cls(**_facts(bill.document), lines=[Line.of(line) for line in bill.lines])


class InvoiceList(Answer):
    """Documents, newest first; `next_before` continues below."""

    invoices: list[Summary]
    next_before: UUID | None


def _facts(document: billing.Document) -> dict[str, Any]:
    same = "id kind number state period_start period_end timezone reason reference created_at finalised_at closed_at"
    return {
        **{name: getattr(document, name) for name in same.split()},
        "account": document.account_id,
        "credits": document.credits_id,
        "total": format_credits(document.total_nano),
        "carried_in": format_credits(document.carried_in_nano),
        "amount": format_cents(document.total_cents),
        "carried_out": format_credits(document.carried_out_nano),
    }
