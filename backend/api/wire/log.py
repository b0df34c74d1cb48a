"""The audit log on the wire."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from backend.api.wire.base import Answer
from backend.storage.log import Told


class Entry(Answer):
    """Something that somebody did; without an actor it was the operator at the machine itself."""

    id: UUID
    at: datetime
    actor: UUID | None
    actor_name: str | None
    key: UUID | None
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, told: Told) -> Self:
        """The wire form of an entry."""
        return cls(
            id=told.id,
            at=told.at,
            actor=told.actor_id,
            actor_name=told.actor,
            key=told.key_id,
            action=told.action,
            subject=told.subject,
            details=dict(told.details),
        )


class EntryList(Answer):
    """Entries, newest first; `next_before` continues, and is null at the end."""

    entries: list[Entry]
    next_before: UUID | None

    @classmethod
    def of(cls, found: list[Told], limit: int) -> Self:
        """A page of so many at most."""
        following = found[-1].id if len(found) == limit else None
        return cls(entries=[Entry.of(told) for told in found], next_before=following)
