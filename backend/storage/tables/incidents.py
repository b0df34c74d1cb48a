"""Incidents that operators are alerted of, and what is still to be told of them to the outside."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.incidents import IncidentEvent, IncidentKind, Severity
from backend.storage.tables.base import Base, Key, one_of


class IncidentRow(Base):
    """Something that went wrong; at most one of a kind is open for a subject."""

    __tablename__ = "incidents"
    __table_args__ = (
        one_of("kind", IncidentKind),
        one_of("severity", Severity),
        Index("uq_incidents_open", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
        Index("ix_incidents_resolved", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    subject: Mapped[str]
    severity: Mapped[str]
    summary: Mapped[str]
    details: Mapped[dict[str, object]] = mapped_column(JSONB)
    opened_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    acked_at: Mapped[datetime | None]
    acked_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))


class IncidentDeliveryRow(Base):
    """What a webhook is owed: written with the incident's change, done when it was taken or given up."""

    __tablename__ = "incident_deliveries"
    __table_args__ = (
        one_of("event", IncidentEvent),
        Index("ix_incident_deliveries_owed", "due_at", postgresql_where=text("done_at IS NULL")),
        Index(None, "incident_id"),
    )

    id: Mapped[Key]
    incident_id: Mapped[UUID] = mapped_column(ForeignKey("incidents.id", ondelete="CASCADE"))
    event: Mapped[str]
    body: Mapped[dict[str, object]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime]  # while it is under way: when that counts as lost
    done_at: Mapped[datetime | None]
    status: Mapped[int | None]  # of the last answer
    error: Mapped[str | None]  # of the last attempt; of one that is done: why it was given up
