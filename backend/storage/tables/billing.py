"""Bills: documents and their lines, payouts, disputes, and the versioned fees of the tiers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.billing import DocumentKind, DocumentState
from backend.domain.disputes import DisputeState
from backend.domain.payouts import PayoutState
from backend.domain.tiers import TierName
from backend.storage.tables.base import Base, Key, Nano, one_of


class DocumentRow(Base):
    """An invoice or a credit note. 10⁷ nano-credits are a cent: what rounds away is carried to the next document."""

    __tablename__ = "documents"
    __table_args__ = (
        one_of("kind", DocumentKind),
        one_of("state", DocumentState),
        CheckConstraint("(kind = 'credit_note') = (credits_id IS NOT NULL)", name="credit_notes_credit"),
        CheckConstraint("(state = 'draft') = (number IS NULL)", name="numbered_when_final"),
        CheckConstraint("period_start < period_end", name="period_lasts"),
        CheckConstraint(
            "carried_in_nano + total_nano = total_cents * 10000000 + carried_out_nano", name="nothing_rounds_away"
        ),
        Index(
            "uq_documents_period",
            "account_id",
            "period_start",
            unique=True,
            postgresql_where=text("kind = 'invoice' AND state <> 'void'"),
        ),
        Index(None, "account_id", "id"),
        Index(None, "credits_id", postgresql_where=text("credits_id IS NOT NULL")),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str]
    number: Mapped[str | None] = mapped_column(unique=True)
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    timezone: Mapped[str]
    state: Mapped[str]
    credits_id: Mapped[UUID | None] = mapped_column(ForeignKey("documents.id"))
    total_nano: Mapped[Nano]
    carried_in_nano: Mapped[Nano]
    total_cents: Mapped[int] = mapped_column(BigInteger)
    carried_out_nano: Mapped[Nano]
    reason: Mapped[str | None]
    reference: Mapped[str | None]
    created_at: Mapped[datetime]
    finalised_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class DocumentLineRow(Base):
    """A line of a document: what was used of one kind of workload, tier and model, or one correction."""

    __tablename__ = "document_lines"

    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    tier: Mapped[str | None]
    description: Mapped[str]
    quantity_micro: Mapped[int | None] = mapped_column(BigInteger)
    unit: Mapped[str | None]
    amount_nano: Mapped[Nano]
    cents: Mapped[int] = mapped_column(BigInteger)
    transfer_id: Mapped[UUID | None] = mapped_column(unique=True)  # of a credit note: the reversal that it is for


class DocumentNumberRow(Base):
    """The last number of a series, so that numbers have no gaps."""

    __tablename__ = "document_numbers"

    series: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)


class PayoutRow(Base):
    """Earnings on their way out: held from the request on."""

    __tablename__ = "payouts"
    __table_args__ = (
        one_of("state", PayoutState),
        CheckConstraint("amount_nano > 0", name="amount_positive"),
        CheckConstraint("state <> 'posted' OR reference IS NOT NULL", name="posted_has_reference"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    amount_nano: Mapped[Nano]
    state: Mapped[str]
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("holds.id"))
    destination: Mapped[str]
    reference: Mapped[str | None] = mapped_column(unique=True)
    reason: Mapped[str | None]
    requested_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    closed_at: Mapped[datetime | None]


class DisputeRow(Base):
    """An order's charge that its account contests."""

    __tablename__ = "disputes"
    __table_args__ = (
        one_of("state", DisputeState),
        Index("uq_disputes_open", "order_id", unique=True, postgresql_where=text("state = 'open'")),
        Index(None, "account_id", "id"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    reason: Mapped[str]
    state: Mapped[str]
    withheld_nano: Mapped[Nano]
    refunded_nano: Mapped[int | None] = mapped_column(BigInteger)
    resolution: Mapped[str | None]
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[UUID | None]


class FeeRow(Base):
    """A tier's fee from a moment on; orders pay the fee of the moment when they are placed."""

    __tablename__ = "fees"
    __table_args__ = (
        one_of("tier", TierName),
        CheckConstraint("fee_ppm BETWEEN 0 AND 500000", name="fee_within_half"),
    )

    tier: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    fee_ppm: Mapped[int]
    valid_from: Mapped[datetime]
    created_at: Mapped[datetime]
