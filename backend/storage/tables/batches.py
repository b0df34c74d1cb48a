"""Files that users keep, batches, the chunks that become orders, and what accounts' webhooks are owed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.batches import FINAL, BatchState, ChunkState
from backend.domain.files import FilePurpose
from backend.storage.tables.base import Base, Key, one_of

_FINAL = ", ".join(f"'{state}'" for state in FINAL)


class FileRow(Base):
    """A file in the object store; not ready while it is being stored, removed for good after it was deleted."""

    __tablename__ = "files"
    __table_args__ = (
        one_of("purpose", FilePurpose),
        CheckConstraint("size_bytes >= 0", name="size_not_negative"),
        Index(None, "account_id", "id"),
        Index("ix_files_expiring", "expires_at"),
        Index("ix_files_deleted", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    purpose: Mapped[str]
    filename: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class BatchRow(Base):
    """A batch; `claimed_until` spares replicas each other's work, and decides nothing.

    `ending` is how it will end once nothing of it runs any more, `tidied_at` when nothing was left to do for it.
    """

    __tablename__ = "batches"
    __table_args__ = (
        one_of("state", BatchState),
        CheckConstraint(f"(state IN ({_FINAL})) = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("completed >= 0 AND failed >= 0 AND completed + failed <= total", name="counts_within_total"),
        Index(None, "account_id", "id"),
        Index("ix_batches_inputs", "input_file_id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_batches_due", "claimed_until", postgresql_where=text("tidied_at IS NULL")),
        Index(
            "ix_batches_remembered",
            "ended_at",
            postgresql_where=text("tidied_at IS NOT NULL AND forgotten_at IS NULL"),
        ),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    member_id: Mapped[UUID | None]
    endpoint: Mapped[str]
    input_file_id: Mapped[UUID]  # the file may be deleted before
    completion_window: Mapped[str]
    metadata_: Mapped[dict[str, object]] = mapped_column("metadata", JSONB)
    options: Mapped[dict[str, object]] = mapped_column(JSONB)
    webhook: Mapped[str | None]
    state: Mapped[str]
    ending: Mapped[str | None]
    total: Mapped[int] = mapped_column(server_default=text("0"))
    completed: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    errors: Mapped[list[object] | None] = mapped_column(JSONB)
    output_file_id: Mapped[UUID | None]
    error_file_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    in_progress_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    finalizing_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime]
    tidied_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]  # since when its orders keep neither requests nor answers


class BatchChunkRow(Base):
    """Lines of a batch that one order carries: the order is written in the same transaction, so there is one at most.

    `lines` are line number, custom_id and rows of each, in the order of the order's items. `output_bytes` is what its
    results are expected to fill and, once they are collected, what they do.
    """

    __tablename__ = "batch_chunks"
    __table_args__ = (
        one_of("state", ChunkState),
        UniqueConstraint("batch_id", "number"),
        CheckConstraint("(state = 'placed') <= (order_id IS NOT NULL)", name="placed_has_order"),
        CheckConstraint("completed >= 0 AND failed >= 0", name="counts_not_negative"),
        CheckConstraint("output_bytes >= 0", name="output_bytes_not_negative"),
    )

    id: Mapped[Key]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"))
    number: Mapped[int]
    state: Mapped[str]
    model: Mapped[str]
    version: Mapped[int]
    from_byte: Mapped[int] = mapped_column(BigInteger)
    to_byte: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[list[object]] = mapped_column(JSONB)
    output_bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"), unique=True)
    error: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    retry_at: Mapped[datetime | None]
    completed: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))


class AccountDeliveryRow(Base):
    """What an account's own webhook is owed: done when it was taken or given up."""

    __tablename__ = "account_deliveries"
    __table_args__ = (
        Index("ix_account_deliveries_owed", "due_at", postgresql_where=text("done_at IS NULL")),
        Index("ix_account_deliveries_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
        Index(None, "subject"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    subject: Mapped[str]
    url: Mapped[str]
    body: Mapped[dict[str, object]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None]


class OrderWebhookRow(Base):
    """Who is to be told of an order's end; gone once that is owed."""

    __tablename__ = "order_webhooks"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    url: Mapped[str]


class KeptSecretRow(Base):
    """A secret that all processes of the market share; its migration makes it."""

    __tablename__ = "kept_secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
