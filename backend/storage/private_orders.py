"""Which orders are sealed to which keys, and those whose keys have ended meanwhile."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.domain.ids import ItemId, NodeId, OrderId, SealingKeyId
from backend.storage.rows import insert_rows
from backend.storage.tables import PrivateRecipientRow


@dataclass(frozen=True, slots=True)
class Stranded:
    """An order that some node cannot, or may not, open any more, and the nodes of its buyer's choice that still may."""

    order_id: OrderId
    gone: list[NodeId]
    left: list[NodeId]


class PrivateOrderRepository:
    """Recipients of private orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, recipients: Sequence[tuple[OrderId, SealingKeyId]]) -> None:
        """Record what orders are sealed to."""
        rows = [{"order_id": order, "key_id": key} for order, key in recipients]
        insert_rows(self._connection, PrivateRecipientRow, rows)

    def stranded(self, limit: int) -> list[Stranded]:
        """Orders that have not ended and are sealed to keys that have."""
        rows = self._connection.execute(
            text("""
                WITH found AS (
                    SELECT DISTINCT r.order_id FROM sealing_keys k JOIN private_recipients r ON r.key_id = k.id
                    JOIN orders o ON o.id = r.order_id
                    WHERE k.state IN ('replaced', 'revoked') AND o.state IN ('open', 'running')
                    ORDER BY r.order_id LIMIT :limit
                )
                SELECT r.order_id, array_agg(k.node_id) FILTER (WHERE k.state <> 'verified') AS gone,
                       coalesce(array_agg(k.node_id) FILTER (
                           WHERE k.state = 'verified' AND jsonb_exists(o.needs -> 'only', CAST(k.node_id AS text))
                       ), '{}') AS kept
                FROM found JOIN orders o ON o.id = found.order_id
                JOIN private_recipients r ON r.order_id = found.order_id
                JOIN sealing_keys k ON k.id = r.key_id GROUP BY r.order_id ORDER BY r.order_id
            """),
            {"limit": limit},
        )
        return [Stranded(row.order_id, row.gone, row.kept) for row in rows]

    def leave(self, nodes: Mapping[OrderId, Collection[NodeId]]) -> None:
        """Let orders go to these nodes only, of those that they are sealed to."""
        self._connection.execute(
            text("""
                UPDATE orders o SET needs = jsonb_set(o.needs, '{only}', CAST(v.nodes AS jsonb))
                FROM unnest(CAST(:orders AS uuid[]), CAST(:nodes AS text[])) AS v (id, nodes) WHERE o.id = v.id
            """),
            {"orders": list(nodes), "nodes": [_json(some) for some in nodes.values()]},
        )

    def forget_ended(self, gone: Collection[tuple[OrderId, NodeId]], limit: int) -> int:
        """Forget that orders are sealed to these nodes' ended keys or, of orders that have ended, to any; how often.

        Keys that ended since `stranded` was asked are found by its next call.
        """
        return self._connection.execute(
            text("""
                DELETE FROM private_recipients WHERE (order_id, key_id) IN (
                    SELECT r.order_id, r.key_id FROM sealing_keys k JOIN private_recipients r ON r.key_id = k.id
                    JOIN orders o ON o.id = r.order_id WHERE k.state IN ('replaced', 'revoked')
                    AND ((r.order_id, k.node_id) IN (
                        SELECT * FROM unnest(CAST(:orders AS uuid[]), CAST(:nodes AS uuid[]))
                    ) OR o.state NOT IN ('open', 'running')) LIMIT :limit
                )
            """),
            {"orders": [order for order, _ in gone], "nodes": [node for _, node in gone], "limit": limit},
        ).rowcount

    def private_among(self, items: Collection[ItemId]) -> set[ItemId]:
        """Those of these items whose order is private."""
        rows = self._connection.execute(
            text(
                "SELECT i.id FROM work_items i JOIN orders o ON o.id = i.order_id WHERE i.id = ANY(:ids) AND o.private"
            ),
            {"ids": list(items)},
        )
        return set(rows.scalars())


def _json(nodes: Collection[NodeId]) -> str:
    return "[" + ", ".join(f'"{node}"' for node in sorted(nodes)) + "]"
