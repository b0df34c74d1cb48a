"""Keys of nodes that private orders are sealed to, and which orders are sealed to which."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.sealing_keys import KeyState
from backend.storage.tables.base import Base, Key, one_of


class SealingKeyRow(Base):
    """The public half of a key that a node keeps; of its challenge only what opens nothing."""

    __tablename__ = "sealing_keys"
    __table_args__ = (
        one_of("state", KeyState),
        UniqueConstraint("node_id", "public"),
        CheckConstraint("octet_length(public) = 32", name="is_x25519"),
        CheckConstraint("state <> 'verified' OR verified_at IS NOT NULL", name="verified_has_time"),
        CheckConstraint("(state IN ('replaced', 'revoked')) = (ended_at IS NOT NULL)", name="ended_has_time"),
        Index("uq_sealing_keys_verified", "node_id", unique=True, postgresql_where=text("state = 'verified'")),
        Index("ix_sealing_keys_registered", "id", postgresql_where=text("state = 'registered'")),
        Index("ix_sealing_keys_ended", "id", postgresql_where=text("state IN ('replaced', 'revoked')")),
    )

    id: Mapped[Key]
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"))
    public: Mapped[bytes]
    state: Mapped[str]
    challenge: Mapped[bytes | None]  # random bytes, sealed to the key
    answer_digest: Mapped[bytes | None]  # SHA-256 of them
    challenged_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # when an agent showed last that it has the key
    proven_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class PrivateRecipientRow(Base):
    """A key that a private order is sealed to: its items are given to that key's node only, while it is verified."""

    __tablename__ = "private_recipients"
    __table_args__ = (Index(None, "key_id"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("sealing_keys.id"), primary_key=True)
