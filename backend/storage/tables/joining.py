"""Nodes of other people: join tokens, their keys, what waits for them, and what they overstated."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.tiers import ResourceClass
from backend.storage.tables.base import Base, Key, one_of


class JoinTokenRow(Base):
    """A secret with which one machine may become a node, once; only its SHA-256 is kept."""

    __tablename__ = "join_tokens"
    __table_args__ = (
        one_of("resource_class", ResourceClass),
        CheckConstraint("slots_max > 0", name="has_slots"),
        CheckConstraint("expires_at > created_at", name="expires_later"),
        Index("ix_join_tokens_open", "account_id", postgresql_where=text("used_at IS NULL")),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    digest: Mapped[bytes] = mapped_column(unique=True)
    name: Mapped[str | None]
    resource_class: Mapped[str]
    region: Mapped[str]
    slots_max: Mapped[int]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    node_id: Mapped[UUID | None] = mapped_column(ForeignKey("nodes.id"))


class NodeKeyRow(Base):
    """The key of a remote node; only the SHA-256 of its secret is kept."""

    __tablename__ = "node_keys"
    __table_args__ = (Index(None, "node_id"),)

    id: Mapped[Key]
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"))
    digest: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RemoteUnitRow(Base):
    """A unit that waits to be polled for; gone when none of its items is queued or running any more."""

    __tablename__ = "remote_units"
    __table_args__ = (Index(None, "queue", "priority", "unit_id"),)

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("units.id"), primary_key=True)
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)


class OverstatedRow(Base):
    """How many items a node reported in a day (UTC) to have run for longer than it had them."""

    __tablename__ = "overstated_reports"
    __table_args__ = (CheckConstraint("items > 0", name="some"),)

    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date(), primary_key=True)
    items: Mapped[int]
