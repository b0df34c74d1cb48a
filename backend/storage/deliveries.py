"""What a webhook is owed: written in the transaction that changes an incident, claimed by one sender at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import DeliveryId, IncidentId
from backend.domain.incidents import IncidentEvent
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import IncidentDeliveryRow

ERROR_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST that is owed; `attempts` are those begun, `due_at` is when the next may begin."""

    id: DeliveryId
    incident_id: IncidentId
    event: IncidentEvent
    body: Mapping[str, object]
    due_at: datetime
    attempts: int = 0
    done_at: datetime | None = None
    status: int | None = None
    error: str | None = None


_COLUMNS = ", ".join(Delivery.__dataclass_fields__)


class DeliveryRepository:
    """A claim is a due time in the future: a sender that dies loses nothing, and no two send at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Owe these."""
        insert_rows(self._connection, IncidentDeliveryRow, [_row(delivery) for delivery in deliveries])

    def claim(self, now: datetime, until: datetime, limit: int) -> list[Delivery]:
        """The oldest that are due; nobody else gets them before `until`. Each claim counts as an attempt."""
        rows: Any = self._connection.execute(
            text(
                "UPDATE incident_deliveries SET due_at = :until, attempts = attempts + 1 WHERE id IN ("
                " SELECT id FROM incident_deliveries WHERE done_at IS NULL AND due_at <= :now"
                f" ORDER BY due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"
            ),
            {"now": now, "until": until, "limit": limit},
        )
        return sorted((_delivery(row) for row in rows), key=lambda delivery: delivery.id)

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Record how attempts ended."""
        kept = ("id", "due_at", "attempts", "done_at", "status", "error")
        update_rows(
            self._connection,
            IncidentDeliveryRow,
            [{name: _row(delivery)[name] for name in kept} for delivery in deliveries],
        )

    def of_incident(self, incident_id: IncidentId) -> list[Delivery]:
        """What was, or is, owed about an incident, the oldest first."""
        rows: Any = self._connection.execute(
            text(f"SELECT {_COLUMNS} FROM incident_deliveries WHERE incident_id = :id ORDER BY id"),
            {"id": incident_id},
        )
        return [_delivery(row) for row in rows]


def _delivery(row: Any) -> Delivery:
    return Delivery(**dict(row._mapping) | {"event": IncidentEvent(row.event)})


def _row(delivery: Delivery) -> dict[str, Any]:
    error = delivery.error and delivery.error[:ERROR_CHARS_MAX]
    return values_of(delivery) | {"event": str(delivery.event), "body": dict(delivery.body), "error": error}
