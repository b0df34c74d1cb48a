"""What died: items out of attempts and messages that nobody can read, until somebody decides or they are forgotten."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.dead_letters import DeathReason, LetterKind, Resolution
from backend.storage.tables.base import Base, Key, one_of


class DeadLetterRow(Base):
    """One death; never the inputs of an item. A message that comes again counts up its undecided letter."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        one_of("kind", LetterKind),
        one_of("reason", DeathReason),
        one_of("resolution", Resolution),
        CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolved_has_time"),
        CheckConstraint("(kind = 'item') = (item_id IS NOT NULL AND order_id IS NOT NULL)", name="item_has_id"),
        CheckConstraint(
            "excerpt IS NULL OR (kind = 'message' AND char_length(excerpt) <= 200)", name="excerpt_is_short"
        ),
        Index("ix_dead_letters_open_item", "item_id", unique=True, postgresql_where=text("resolution IS NULL")),
        Index(
            "ix_dead_letters_open_message",
            "queue",
            "digest",
            unique=True,
            postgresql_where=text("resolution IS NULL AND kind = 'message'"),
        ),
        Index(None, "order_id"),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id"))
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    unit_id: Mapped[UUID | None]  # of a message: whatever it named, known or not
    queue: Mapped[str]
    reason: Mapped[str]
    error: Mapped[str | None]
    attempts: Mapped[int]
    size_bytes: Mapped[int]
    digest: Mapped[str]
    excerpt: Mapped[str | None]
    died_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]
