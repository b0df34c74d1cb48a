"""What auctions decided: epochs, trades, and the leases that trades give."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, text

from backend.domain.ids import EpochId, LeaseId, NodeId, OfferId, OrderId, TradeId
from backend.domain.pricing import Market
from backend.domain.tiers import TierName
from backend.storage.rows import insert_rows
from backend.storage.tables import EpochRow, LeaseRow, TradeRow


@dataclass(frozen=True, slots=True)
class Grant:
    """A trade and the lease that it gives."""

    trade_id: TradeId
    lease_id: LeaseId
    order_id: OrderId
    offer_id: OfferId
    node_id: NodeId
    slots: int
    price_nano: int


@dataclass(frozen=True, slots=True)
class Served:
    """A lease as a receipt shows it: who ran how much of an order, at which price."""

    lease_id: LeaseId
    node_name: str
    resource_class: str
    region: str
    slots: int
    price_nano_per_slot_s: int
    state: str
    items: int
    billed_us: int
    charged_nano: int


@dataclass(frozen=True, slots=True)
class OpenLease:
    """An active lease and what is queued or running on it."""

    lease_id: LeaseId
    order_id: OrderId
    queue: str
    tier: TierName
    slots: int
    items: int
    us_max: int


class LeaseRepository:
    """Epochs, trades and leases."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_epoch(
        self,
        epoch_id: EpochId,
        market: Market,
        mechanism: str,
        book_digest: bytes,
        price_nano: int | None,
        sides: tuple[int, int],
        now: datetime,
    ) -> None:
        """Log a clearing; `sides` counts its orders and offers."""
        self._connection.execute(
            insert(EpochRow).values(
                id=epoch_id,
                resource_class=market.resource_class,
                region=market.region,
                mechanism=mechanism,
                book_digest=book_digest,
                price_nano_per_slot_s=price_nano,
                orders=sides[0],
                offers=sides[1],
                cleared_at=now,
            )
        )

    def grant(self, epoch_id: EpochId, grants: Sequence[Grant], now: datetime) -> None:
        """Record trades and their leases."""
        insert_rows(
            self._connection,
            TradeRow,
            [
                {
                    "id": g.trade_id,
                    "epoch_id": epoch_id,
                    "order_id": g.order_id,
                    "offer_id": g.offer_id,
                    "node_id": g.node_id,
                    "slots": g.slots,
                    "price_nano_per_slot_s": g.price_nano,
                }
                for g in grants
            ],
        )
        insert_rows(
            self._connection,
            LeaseRow,
            [
                {
                    "id": g.lease_id,
                    "trade_id": g.trade_id,
                    "order_id": g.order_id,
                    "node_id": g.node_id,
                    "slots": g.slots,
                    "price_nano_per_slot_s": g.price_nano,
                    "state": "active",
                    "granted_at": now,
                }
                for g in grants
            ],
        )

    def open_leases(self, orders: Collection[OrderId]) -> list[OpenLease]:
        """Active leases of these orders with their load, oldest first."""
        rows = self._connection.execute(
            text("""
                SELECT l.id, l.order_id, n.queue, o.tier, l.slots, count(i.id) AS items,
                       coalesce(sum(i.us_max), 0)::bigint AS us_max
                FROM leases l JOIN orders o ON o.id = l.order_id JOIN nodes n ON n.id = l.node_id
                LEFT JOIN work_items i
                    ON i.order_id = l.order_id AND i.lease_id = l.id AND i.state IN ('queued', 'running')
                WHERE l.order_id = ANY(:orders) AND l.state = 'active' GROUP BY l.id, n.id, o.id ORDER BY l.id
            """),
            {"orders": list(orders)},
        )
        return [
            OpenLease(row.id, row.order_id, row.queue, TierName(row.tier), row.slots, row.items, row.us_max)
            for row in rows
        ]

    def end(
        self, orders: Collection[OrderId], now: datetime, nodes: Collection[NodeId] | None = None
    ) -> dict[NodeId, int]:
        """End active leases of orders (only those on `nodes`, if given); returns the slots that this frees per node."""
        rows = self._connection.execute(
            text(
                "UPDATE leases SET state = 'ended', ended_at = :now WHERE order_id = ANY(:orders) AND state = 'active'"
                " AND (CAST(:nodes AS uuid[]) IS NULL OR node_id = ANY(:nodes)) RETURNING node_id, slots"
            ),
            {"orders": list(orders), "now": now, "nodes": None if nodes is None else list(nodes)},
        )
        freed: dict[NodeId, int] = {}
        for row in rows:
            freed[row.node_id] = freed.get(row.node_id, 0) + row.slots
        return freed

    def served(self, orders: Collection[OrderId]) -> dict[OrderId, list[Served]]:
        """Per order, the leases that it had and what ran on them."""
        rows: Any = self._connection.execute(
            text("""
                SELECT l.order_id, l.id, n.name, n.resource_class, n.region, l.slots, l.price_nano_per_slot_s, l.state,
                       count(i.id) AS items, coalesce(sum(i.billed_us), 0)::bigint AS billed_us,
                       coalesce(sum(i.charged_nano), 0)::bigint AS charged_nano
                FROM leases l JOIN nodes n ON n.id = l.node_id
                LEFT JOIN work_items i ON i.order_id = l.order_id AND i.lease_id = l.id AND i.state = 'settled'
                WHERE l.order_id = ANY(:orders)
                GROUP BY l.id, n.id ORDER BY l.id
            """),
            {"orders": list(orders)},
        )
        served: dict[OrderId, list[Served]] = {}
        for order_id, *values in rows:
            served.setdefault(order_id, []).append(Served(*values))
        return served
