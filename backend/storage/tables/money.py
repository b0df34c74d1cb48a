"""The ledger: accounts, holds and transfers. Constraints repeat the domain's rules, so that no bug breaks them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.ledger import AccountKind, HoldState, TransferKind
from backend.domain.tiers import TierName
from backend.storage.tables.base import Base, Key, Nano, one_of


class LedgerAccountRow(Base):
    """Money of one owner for one purpose; `posted` and `reserved` are what the audit recomputes."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        one_of("kind", AccountKind),
        UniqueConstraint("owner_id", "kind", postgresql_nulls_not_distinct=True),
        CheckConstraint("reserved_nano >= 0", name="reserved_not_negative"),
        CheckConstraint("kind = 'world' OR posted_nano - reserved_nano >= 0", name="available_not_negative"),
    )

    id: Mapped[Key]
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str]
    posted_nano: Mapped[Nano] = mapped_column(server_default=text("0"))
    reserved_nano: Mapped[Nano] = mapped_column(server_default=text("0"))


class HoldRow(Base):
    """Money set aside on an account until captured or released.

    `spender_id` is the member of an organisation who spends, and has no foreign key: it comes from the key that was
    checked, and every foreign key of a hold costs as much as writing its row does.
    """

    __tablename__ = "holds"
    __table_args__ = (
        one_of("state", HoldState),
        CheckConstraint(f"tier IN ({', '.join(repr(str(t)) for t in TierName)})", name="tier"),
        CheckConstraint("amount_nano > 0", name="amount_positive"),
        CheckConstraint("captured_nano >= 0 AND released_nano >= 0", name="parts_not_negative"),
        CheckConstraint("captured_nano + released_nano <= amount_nano", name="not_exceeded"),
        CheckConstraint(
            "(state = 'pending') = (captured_nano + released_nano < amount_nano)",
            name="pending_while_something_left",
        ),
        CheckConstraint("state <> 'posted' OR captured_nano > 0", name="posted_means_captured"),
        Index("ix_holds_pending", "expires_at", postgresql_where=text("state = 'pending'")),
        Index(None, "account_id", "id"),
        {"postgresql_with": {"fillfactor": 50}},  # it is lowered or charged soon, on the same page
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    spender_id: Mapped[UUID | None]
    tier: Mapped[str | None]
    amount_nano: Mapped[Nano]
    captured_nano: Mapped[Nano]
    released_nano: Mapped[Nano]
    state: Mapped[str]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]


class TransferRow(Base):
    """Money moved; written once, never changed: a trigger refuses updates, and reversals that are no mirrors."""

    __tablename__ = "transfers"
    __table_args__ = (
        one_of("kind", TransferKind),
        CheckConstraint("amount_nano > 0", name="amount_positive"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        CheckConstraint(
            "CASE WHEN kind IN ('charge', 'fee') THEN (hold_id IS NULL) <> (original_id IS NULL)"
            " WHEN kind = 'payout' THEN hold_id IS NOT NULL AND original_id IS NULL"
            " ELSE hold_id IS NULL AND (kind = 'reversal') = (original_id IS NOT NULL) END",
            name="charges_capture_holds",
        ),
        CheckConstraint("kind NOT IN ('deposit', 'payout') OR reference IS NOT NULL", name="deposits_have_references"),
        Index(None, "order_id", postgresql_where=text("order_id IS NOT NULL")),
        Index(None, "debit_id", "id"),
        Index(None, "credit_id", "id"),
        Index(None, "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
        Index("uq_transfers_reference", "reference", unique=True, postgresql_where=text("reference IS NOT NULL")),
        Index("uq_transfers_reversed", "original_id", unique=True, postgresql_where=text("kind = 'reversal'")),
        Index(
            "uq_transfers_replaced",
            "original_id",
            unique=True,
            postgresql_where=text("kind <> 'reversal' AND original_id IS NOT NULL"),
        ),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    debit_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    credit_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount_nano: Mapped[Nano]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("holds.id"))
    order_id: Mapped[UUID | None]
    reference: Mapped[str | None]
    original_id: Mapped[UUID | None]
    created_at: Mapped[datetime]


class AuditRunRow(Base):
    """What an audit looked at and found; metrics show the latest."""

    __tablename__ = "audit_runs"
    __table_args__ = (CheckConstraint("mode IN ('full', 'incremental')", name="mode"),)

    id: Mapped[Key]
    mode: Mapped[str]
    ok: Mapped[bool]
    accounts: Mapped[int]
    transfers: Mapped[Nano]
    holds: Mapped[Nano]
    sum_nano: Mapped[Nano]
    differences: Mapped[list[object]] = mapped_column(JSONB)
    took_us: Mapped[Nano]
    audited_at: Mapped[datetime]


class AuditedBalanceRow(Base):
    """An account's balance by the transfers up to the mark of the last incremental audit."""

    __tablename__ = "audited_balances"

    account_id: Mapped[Key]
    posted_nano: Mapped[Nano]


class AuditMarkRow(Base):
    """Up to which transfer the incremental audit has added up: one row."""

    __tablename__ = "audit_mark"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    up_to: Mapped[UUID]
