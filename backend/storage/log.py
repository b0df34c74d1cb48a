"""The audit log: who did what, written with what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, KeyId, LogId
from backend.storage.rows import insert_records
from backend.storage.tables import LogRow


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did; no actor means the operator at the machine itself."""

    id: LogId
    at: datetime
    actor_id: AccountId | None
    key_id: KeyId | None
    action: str
    subject: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told(Entry):
    """An entry as it is read, with the actor's name."""

    actor: str | None


class LogRepository:
    """Entries are added and read; the database refuses everything else."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, entries: Sequence[Entry]) -> None:
        """Record what was done, in the transaction that does it."""
        insert_records(self._connection, LogRow, entries)

    def newest(
        self, actor: AccountId | None, subject: str | None, action: str | None, limit: int, before: LogId | None
    ) -> list[Told]:
        """The newest entries, of one actor, subject or action if named, older than `before`.

        An action that ends with a dot stands for all that begin so, a subject of one word for all of that kind.
        """
        rows: Any = self._connection.execute(
            text(
                "SELECT l.id, l.at, l.actor_id, l.key_id, l.action, l.subject, l.details, a.name FROM audit_log l"
                " LEFT JOIN accounts a ON a.id = l.actor_id"
                " WHERE (CAST(:actor AS uuid) IS NULL OR l.actor_id = :actor)"
                " AND (CAST(:subject AS text) IS NULL OR l.subject = :subject"
                " OR starts_with(l.subject, CAST(:subject AS text) || ' '))"
                " AND (CAST(:action AS text) IS NULL OR l.action = :action"
                " OR (right(:action, 1) = '.' AND starts_with(l.action, :action)))"
                " AND (CAST(:before AS uuid) IS NULL OR l.id < :before) ORDER BY l.id DESC LIMIT :limit"
            ),
            {"actor": actor, "subject": subject, "action": action, "before": before, "limit": limit},
        )
        return [Told(*row) for row in rows]
