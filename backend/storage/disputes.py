"""Disputes about orders' charges."""

from typing import Any

from sqlalchemy import Connection, text

from backend.domain.disputes import Dispute, DisputeState
from backend.domain.ids import AccountId, DisputeId, OrderId
from backend.storage.rows import insert_records, update_rows, values_of
from backend.storage.tables import DisputeRow

_COLUMNS = ", ".join(Dispute.__dataclass_fields__)


class DisputeRepository:
    """Disputes. Whoever opens or resolves one locks its order first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, dispute: Dispute) -> None:
        """Record a new dispute."""
        insert_records(self._connection, DisputeRow, [dispute])

    def find(self, dispute_id: DisputeId) -> Dispute | None:
        """The dispute of that id."""
        rows = self._select(f"SELECT {_COLUMNS} FROM disputes WHERE id = :id", {"id": dispute_id})
        return rows[0] if rows else None

    def open_of(self, order_id: OrderId) -> Dispute | None:
        """The dispute about an order that is not resolved yet."""
        rows = self._select(
            f"SELECT {_COLUMNS} FROM disputes WHERE order_id = :order AND state = 'open'", {"order": order_id}
        )
        return rows[0] if rows else None

    def newest(
        self, account: AccountId | None, state: DisputeState | None, limit: int, before: DisputeId | None
    ) -> list[Dispute]:
        """The newest disputes of an account (None: of everybody), older than `before`."""
        return self._select(
            f"SELECT {_COLUMNS} FROM disputes WHERE (CAST(:account AS uuid) IS NULL OR account_id = :account)"
            f" AND (CAST(:state AS text) IS NULL OR state = :state)"
            f" AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {"account": account, "state": state, "before": before, "limit": limit},
        )

    def write(self, dispute: Dispute) -> None:
        """Record how a dispute was resolved."""
        values = values_of(dispute)
        kept = ("id", "state", "refunded_nano", "resolution", "resolved_at", "resolved_by")
        update_rows(self._connection, DisputeRow, [{name: values[name] for name in kept}])

    def _select(self, statement: str, binds: dict[str, Any]) -> list[Dispute]:
        rows = self._connection.execute(text(statement), binds)
        return [Dispute(**{**row._mapping, "state": DisputeState(row.state)}) for row in rows]
