"""Messages that are owed to the broker."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.joining import is_remote
from backend.domain.work import Dispatch
from backend.storage.ids import first_id_at, new_id
from backend.storage.node_work import NodeWorkRepository
from backend.storage.rows import insert_rows
from backend.storage.tables import OutboxRow


@dataclass(frozen=True, slots=True)
class Owed:
    """An unsent message and its row."""

    id: UUID
    dispatch: Dispatch


class OutboxRepository:
    """Written in the transaction that causes a message, emptied by the relay."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, dispatches: Sequence[Dispatch], now: datetime) -> None:
        """Owe these messages; what is for remote nodes waits to be polled for, and the broker never hears of it."""
        NodeWorkRepository(self._connection).post([d for d in dispatches if is_remote(d.queue)])
        insert_rows(
            self._connection,
            OutboxRow,
            [
                {
                    "id": new_id(),
                    "unit_id": d.unit_id,
                    "queue": d.queue,
                    "priority": d.priority,
                    "created_at": now,
                }
                for d in dispatches
                if not is_remote(d.queue)
            ],
        )

    def claim_unsent(self, limit: int) -> list[Owed]:
        """The oldest unsent messages, most urgent first, locked until the transaction ends."""
        rows = self._connection.execute(
            text(
                "SELECT o.id, o.unit_id, o.queue, o.priority, u.traces FROM outbox o JOIN units u ON u.id = o.unit_id"
                " WHERE o.sent_at IS NULL ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED"
            ),
            {"limit": limit},
        ).all()
        owed = [Owed(row.id, Dispatch(row.unit_id, row.queue, row.priority, _traces(row.traces))) for row in rows]
        return sorted(owed, key=lambda o: (o.dispatch.priority, o.id))

    def forget_sent(self, before: datetime, limit: int) -> int:
        """Delete sent messages that were written before; returns how many."""
        return self._connection.execute(
            text(
                "DELETE FROM outbox WHERE id IN ("
                "SELECT id FROM outbox WHERE id < :before AND sent_at IS NOT NULL ORDER BY id LIMIT :limit)"
            ),
            {"before": first_id_at(before), "limit": limit},
        ).rowcount

    def mark_sent(self, ids: Collection[UUID], now: datetime) -> None:
        """The broker has them."""
        self._connection.execute(
            text("UPDATE outbox SET sent_at = :now WHERE id = ANY(:ids)"), {"ids": list(ids), "now": now}
        )


def _traces(column: str | None) -> tuple[str, ...]:
    return tuple(column.split(",")) if column else ()
