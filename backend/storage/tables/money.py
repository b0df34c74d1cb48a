"""The ledger: accounts, holds and transfers. Constraints repeat the domain's rules, so that no bug breaks them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.ledger import AccountKind, HoldState, TransferKind
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
    """Money set aside on an account until captured or released."""

    __tablename__ = "holds"
    __table_args__ = (
        one_of("state", HoldState),
        CheckConstraint("amount_nano > 0", name="amount_positive"),
        CheckConstraint("captured_nano >= 0 AND released_nano >= 0", name="parts_not_negative"),
        CheckConstraint("captured_nano + released_nano <= amount_nano", name="not_exceeded"),
        CheckConstraint(
            "(state = 'pending') = (captured_nano + released_nano < amount_nano)",
            name="pending_while_something_left",
        ),
        CheckConstraint("state <> 'posted' OR captured_nano > 0", name="posted_means_captured"),
        Index(None, "account_id", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount_nano: Mapped[Nano]
    captured_nano: Mapped[Nano]
    released_nano: Mapped[Nano]
    state: Mapped[str]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]


class TransferRow(Base):
    """Money moved; written once, never changed."""

    __tablename__ = "transfers"
    __table_args__ = (
        one_of("kind", TransferKind),
        CheckConstraint("amount_nano > 0", name="amount_positive"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        CheckConstraint("(kind IN ('charge', 'fee')) = (hold_id IS NOT NULL)", name="charges_capture_holds"),
        CheckConstraint("kind <> 'deposit' OR reference IS NOT NULL", name="deposits_have_references"),
        Index(None, "order_id", postgresql_where=text("order_id IS NOT NULL")),
        Index(None, "debit_id"),
        Index(None, "credit_id"),
        Index(None, "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    debit_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    credit_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount_nano: Mapped[Nano]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("holds.id"))
    order_id: Mapped[UUID | None]
    reference: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
