"""Dead letters; they are written where things die: in `lapses`, and by `work_fail` and `message_bury`."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.dead_letters import DeadLetter, DeathReason, LetterKind, Resolution
from backend.domain.ids import DeadLetterId, ItemId, OrderId
from backend.storage.ids import first_id_at

_COLUMNS = ", ".join(DeadLetter.__dataclass_fields__)


class DeadLetterRepository:
    """Letters. Whoever resolves an item's letter locks its order first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, letter_id: DeadLetterId, *, for_update: bool = False) -> DeadLetter | None:
        """The letter of that id."""
        lock = "FOR UPDATE" if for_update else ""
        rows = self._select(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = :id {lock}", {"id": letter_id})
        return rows[0] if rows else None

    def newest(
        self,
        kind: LetterKind | None,
        reason: DeathReason | None,
        queue: str | None,
        order: OrderId | None,
        resolved: bool,
        limit: int,
        before: DeadLetterId | None,
    ) -> list[DeadLetter]:
        """The newest letters, older than `before`, narrowed to what is given; resolved ones only if asked for."""
        return self._select(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE (:resolved OR resolution IS NULL)"
            f" AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
            f" AND (CAST(:reason AS text) IS NULL OR reason = :reason)"
            f" AND (CAST(:queue AS text) IS NULL OR queue = :queue)"
            f" AND (CAST(:order AS uuid) IS NULL OR order_id = :order)"
            f" AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {
                "kind": kind,
                "reason": reason,
                "queue": queue,
                "order": order,
                "resolved": resolved,
                "before": before,
                "limit": limit,
            },
        )

    def revive(self, item_id: ItemId) -> None:
        """A dead item waits for a lease like a new one; its fence goes on, so what it left behind stays void."""
        self._connection.execute(
            text(
                "UPDATE work_items SET state = 'waiting', attempt = 0, unit_id = NULL, lease_id = NULL, error = NULL"
                " WHERE id = :id AND state = 'dead'"
            ),
            {"id": item_id},
        )

    def resolve(self, letter_id: DeadLetterId, resolution: Resolution, now: datetime) -> None:
        """Record what was decided."""
        self._connection.execute(
            text("UPDATE dead_letters SET resolution = :resolution, resolved_at = :now WHERE id = :id"),
            {"id": letter_id, "resolution": resolution, "now": now},
        )

    def forget(self, before: datetime, limit: int) -> int:
        """Delete letters of what died before, decided or not; returns how many."""
        return self._connection.execute(
            text(
                "DELETE FROM dead_letters WHERE id IN ("
                "SELECT id FROM dead_letters WHERE id < :before ORDER BY id LIMIT :limit)"
            ),
            {"before": first_id_at(before), "limit": limit},
        ).rowcount

    def _select(self, statement: str, binds: dict[str, Any]) -> list[DeadLetter]:
        rows = self._connection.execute(text(statement), binds)
        return [_letter(dict(row._mapping)) for row in rows]


def _letter(values: dict[str, Any]) -> DeadLetter:
    resolution = values["resolution"]
    return DeadLetter(
        **{
            **values,
            "kind": LetterKind(values["kind"]),
            "reason": DeathReason(values["reason"]),
            "resolution": Resolution(resolution) if resolution else None,
        }
    )
