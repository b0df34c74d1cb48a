"""Incidents on the wire."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer
from backend.domain import incidents
from backend.services.incidents import Shown
from backend.storage import deliveries


class Delivery(Answer):
    """What the webhook was, or is still to be, told of an incident."""

    id: UUID
    event: str
    attempts: int
    due_at: datetime
    done_at: datetime | None
    status: int | None
    error: str | None = Field(description="Of the last attempt; with `done_at`: why it was given up.")

    @classmethod
    def of(cls, delivery: deliveries.Delivery) -> Self:
        """The wire form of a delivery."""
        return cls(**{name: getattr(delivery, name) for name in cls.model_fields})


class Incident(Answer):
    """Something that went wrong; while it is open, at most one of its kind has its subject."""

    id: UUID
    kind: str
    subject: str
    severity: str
    state: str
    summary: str
    details: dict[str, Any]
    opened_at: datetime
    seen_at: datetime = Field(description="When it was last found to be so.")
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None

    @classmethod
    def of(cls, incident: incidents.Incident) -> Self:
        """The wire form of an incident."""
        return cls(**incident.document())  # type: ignore[arg-type]  # pydantic checks what mypy cannot


class IncidentDetail(Incident):
    """An incident with its deliveries."""

    deliveries: list[Delivery]

    @classmethod
    def of_shown(cls, shown: Shown) -> Self:
        """The wire form of an incident and what was told of it."""
        told = [Delivery.of(delivery) for delivery in shown.deliveries]
        return cls(**shown.incident.document(), deliveries=told)  # type: ignore[arg-type]  # the same


class IncidentList(Answer):
    """Incidents, newest first; `next_before` continues below."""

    incidents: list[Incident]
    next_before: UUID | None
