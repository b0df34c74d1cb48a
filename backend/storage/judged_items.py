"""Work items that are judged: reported when they ran, then committed or rejected by whoever they are for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import ItemId, NodeId, OrderId
from backend.domain.work import ERROR_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Judged:
    """An item whose result somebody decided on, with what ran it for whom."""

    id: ItemId
    order_id: OrderId
    node_id: NodeId


class JudgedItemRepository:
    """Verdicts; their caller has locked the items' orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def accept(self, items: Collection[ItemId]) -> list[Judged]:
        """Let reported items be charged; returns those that were reported."""
        rows: Any = self._connection.execute(
            text("""
                UPDATE work_items i SET state = 'committed' FROM leases l
                WHERE i.id = ANY(:items) AND i.state = 'reported' AND l.id = i.lease_id
                RETURNING i.id, i.order_id, l.node_id
            """),
            {"items": list(items)},
        )
        return [Judged(*row) for row in rows]

    def reject(self, reasons: Mapping[ItemId, str]) -> list[Judged]:
        """Reported items that nobody pays for, and why; else as `accept`."""
        rows: Any = self._connection.execute(
            text("""
                UPDATE work_items i SET state = 'rejected', billed_us = 0, error = v.reason
                FROM unnest(CAST(:items AS uuid[]), CAST(:reasons AS text[])) AS v (id, reason), leases l
                WHERE i.id = v.id AND i.state = 'reported' AND l.id = i.lease_id
                RETURNING i.id, i.order_id, l.node_id
            """),
            {
                "items": list(reasons),
                "reasons": [reason[:ERROR_CHARS_MAX] for reason in reasons.values()],
            },
        )
        return [Judged(*row) for row in rows]

    def reported_on_leases(self, limit: int) -> list[OrderId]:
        """Running orders that have leases still, though all of their work has run and waits to be judged."""
        rows = self._connection.execute(
            text("""
                SELECT DISTINCT i.order_id FROM work_items i
                JOIN orders o ON o.id = i.order_id AND o.state = 'running'
                WHERE i.state = 'reported'
                  AND EXISTS (SELECT 1 FROM leases l WHERE l.order_id = i.order_id AND l.state = 'active')
                  AND NOT EXISTS (SELECT 1 FROM work_items w WHERE w.order_id = i.order_id
                                  AND w.state IN ('waiting', 'queued', 'running'))
                ORDER BY i.order_id LIMIT :limit
            """),
            {"limit": limit},
        )
        return [row.order_id for row in rows]

    def reject_unjudged(self, orders: Collection[OrderId], reason: str) -> None:
        """End what was reported for these orders and nobody will judge any more."""
        self._connection.execute(
            text(
                "UPDATE work_items SET state = 'rejected', billed_us = 0, error = :reason"
                " WHERE order_id = ANY(:orders) AND state = 'reported'"
            ),
            {"orders": list(orders), "reason": reason},
        )
