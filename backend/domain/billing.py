"""Invoices and credit notes: their states, lines that sum exactly to the ledger, and cents that lose nothing.

An amount is what the account pays: charges are positive, what it gets back is negative. Cents are the only money that
is ever rounded; what rounding leaves over is carried to the account's next document.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.ids import AccountId, DocumentId, TransferId
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.periods import Period

NANO_PER_CENT = NANO_PER_CREDIT // 100
MICRO = 1_000_000
CHARGES = "charges"
_ONE = {CHARGES: "charge", "slot-seconds": "slot-second"}  # of a meter's own unit nobody knows
FINAL_GRACE = timedelta(minutes=5)  # a transaction that began before the period's end has come to its own by then


class DocumentKind(StrEnum):
    """A credit note takes back what an invoice charged."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"

    @property
    def series(self) -> str:
        """What its numbers begin with."""
        return "INV" if self is DocumentKind.INVOICE else "CRN"


class DocumentState(StrEnum):
    """draft → final → paid | void; a final document is never changed."""

    DRAFT = "draft"
    FINAL = "final"
    PAID = "paid"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document, in nano-credits and in cents; `transfer_id` is the late reversal that it stands for."""

    seq: int
    kind: str
    tier: str | None
    description: str
    quantity_micro: int | None
    unit: str | None
    amount_nano: int
    cents: int
    transfer_id: TransferId | None = None

    @property
    def counted(self) -> str | None:
        """Its quantity as people write it, with the unit."""
        if self.quantity_micro is None or self.unit is None:
            return None
        unit = _ONE.get(self.unit, self.unit) if self.quantity_micro == MICRO else self.unit
        return f"{format_quantity(self.quantity_micro)} {unit}"


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or a credit note; a draft has no number, and one that is only looked at has no id."""

    id: DocumentId | None
    account_id: AccountId
    kind: DocumentKind
    number: str | None
    period_start: datetime
    period_end: datetime
    timezone: str
    state: DocumentState
    credits_id: DocumentId | None
    total_nano: int
    carried_in_nano: int
    total_cents: int
    carried_out_nano: int
    reason: str | None
    reference: str | None
    created_at: datetime
    finalised_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def period(self) -> Period:
        """What it is for."""
        return Period(self.period_start, self.period_end, self.timezone)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a document comes to: carried in + total = cents × NANO_PER_CENT + carried out."""

    total_nano: int
    carried_in_nano: int
    total_cents: int
    carried_out_nano: int


def cents_of(nano: int) -> int:
    """Nano-credits in cents, half to even: the one place where a bill rounds."""
    cents, rest = divmod(nano, NANO_PER_CENT)
    half = NANO_PER_CENT // 2
    return cents + (rest > half or (rest == half and cents % 2 == 1))


def totals_of(lines: Iterable[Line], carried_in_nano: int) -> Totals:
    """What lines come to, together with what the account's earlier documents left over."""
    total = sum(line.amount_nano for line in lines)
    cents = cents_of(carried_in_nano + total)
    return Totals(total, carried_in_nano, cents, carried_in_nano + total - cents * NANO_PER_CENT)


def number_of(kind: DocumentKind, year: int, count: int) -> str:
    """A document's number; they have no gaps within a kind and year."""
    return f"{series_of(kind, year)}-{count:06d}"


def series_of(kind: DocumentKind, year: int) -> str:
    """The series that a document is counted in."""
    return f"{kind.series}-{year}"


def format_cents(cents: int) -> str:
    """The decimal string of an amount in cents: credits with two decimals."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02d}"


def format_quantity(quantity_micro: int) -> str:
    """The decimal string of a quantity in millionths, without zeros at its end."""
    whole, rest = divmod(quantity_micro, MICRO)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
