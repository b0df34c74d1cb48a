"""What auctions decided: trades, and the leases that trades give."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, EpochId, LeaseId, NodeId, OfferId, OrderId, TradeId
from backend.domain.pricing import Market
from backend.domain.records import record
from backend.domain.tiers import TierName


@record(frozen=True, slots=True)
class Grant:
    """A trade and the lease that it gives."""

    trade_id: TradeId
    lease_id: LeaseId
    order_id: OrderId
    offer_id: OfferId
    node_id: NodeId
    slots: int
    pays_nano: int
    earns_nano: int


@dataclass(frozen=True, slots=True)
class Served:
    """A lease as a receipt shows it: who ran how much of an order, at which price."""

    lease_id: LeaseId
    node_id: NodeId
    node_name: str
    resource_class: str
    region: str
    slots: int
    price_nano_per_slot_s: int
    state: str
    items: int
    billed_us: int
    charged_nano: int
    leave_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """What an account holds of a market in a tier: slots, and of other resources what its orders stated."""

    account_id: AccountId
    tier: TierName
    slots: int
    cores: int
    memory_mb: int
    accelerators: int


@record(frozen=True, slots=True)
class OpenLease:
    """An active lease and what is queued or running on it."""

    lease_id: LeaseId
    order_id: OrderId
    queue: str
    tier: TierName
    slots: int
    items: int
    us_max: int
    traceparent: str | None = None  # its order's


_GRANTED = attrgetter(*Grant.__dataclass_fields__)
_GRANT = text("""
    WITH granted AS (
        SELECT * FROM unnest(CAST(:trades AS uuid[]), CAST(:leases AS uuid[]), CAST(:orders AS uuid[]),
                             CAST(:offers AS uuid[]), CAST(:nodes AS uuid[]), CAST(:slots AS int[]),
                             CAST(:pays AS bigint[]), CAST(:earns AS bigint[]))
               AS v (trade_id, lease_id, order_id, offer_id, node_id, slots, pays_nano, earns_nano)
    ), traded AS (
        INSERT INTO trades (id, epoch_id, order_id, offer_id, node_id, slots, price_nano_per_slot_s,
                            earns_nano_per_slot_s)
        SELECT trade_id, :epoch, order_id, offer_id, node_id, slots, pays_nano, earns_nano FROM granted
    )
    INSERT INTO leases (id, trade_id, order_id, node_id, slots, price_nano_per_slot_s, earns_nano_per_slot_s, state,
                        granted_at)
    SELECT lease_id, trade_id, order_id, node_id, slots, pays_nano, earns_nano, 'active', :now FROM granted
""")


class LeaseRepository:
    """Trades and leases."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def grant(self, epoch_id: EpochId, grants: Sequence[Grant], now: datetime) -> None:
        """Record trades and their leases, in one statement."""
        trades, leases, orders, offers, nodes, slots, pays, earns = zip(*map(_GRANTED, grants), strict=True)
        self._connection.execute(
            _GRANT,
            {
                "epoch": epoch_id,
                "now": now,
                "trades": list(trades),
                "leases": list(leases),
                "orders": list(orders),
                "offers": list(offers),
                "nodes": list(nodes),
                "slots": list(slots),
                "pays": list(pays),
                "earns": list(earns),
            },
        )

    def held(self, market: Market) -> list[Held]:
        """What accounts hold of a market's nodes now, by tier."""
        rows: Any = self._connection.execute(
            text("""
                SELECT o.account_id, o.tier, sum(l.slots)::int,
                       sum(l.slots * coalesce((o.needs->>'cores')::bigint, 0))::bigint,
                       sum(l.slots * coalesce((o.needs->>'memory_mb')::bigint, 0))::bigint,
                       sum(l.slots * coalesce((o.needs->>'accelerators')::bigint, 0))::bigint
                FROM nodes n JOIN leases l ON l.node_id = n.id AND l.state = 'active' JOIN orders o ON o.id = l.order_id
                WHERE n.resource_class = :resource_class AND n.region = :region GROUP BY 1, 2 ORDER BY 1, 2
            """),
            {"resource_class": market.resource_class, "region": market.region},
        )
        return [Held(account, TierName(tier), *amounts) for account, tier, *amounts in rows]

    def open_leases(self, orders: Collection[OrderId]) -> list[OpenLease]:
        """Active leases of these orders with their load, oldest first; those that have to leave take no more."""
        rows: Any = self._connection.execute(
            text("""
                WITH load AS MATERIALIZED (
                    SELECT lease_id, count(*) AS items, sum(us_max)::bigint AS us_max FROM work_items
                    WHERE order_id = ANY(:orders) AND state IN ('queued', 'running') GROUP BY lease_id
                )
                SELECT l.id, l.order_id, n.queue, o.tier, l.slots, coalesce(load.items, 0) AS items,
                       coalesce(load.us_max, 0) AS us_max, o.traceparent
                FROM leases l JOIN orders o ON o.id = l.order_id JOIN nodes n ON n.id = l.node_id
                LEFT JOIN load ON load.lease_id = l.id
                WHERE l.order_id = ANY(:orders) AND l.state = 'active' AND l.leave_at IS NULL ORDER BY l.id
            """),
            {"orders": list(orders)},
        )
        return [OpenLease(lease, order, queue, TierName(tier), *rest) for lease, order, queue, tier, *rest in rows]

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
                SELECT l.order_id, l.id, n.id, n.name, n.resource_class, n.region, l.slots, l.price_nano_per_slot_s,
                       l.state, count(i.id) AS items, coalesce(sum(i.billed_us), 0)::bigint AS billed_us,
                       coalesce(sum(i.charged_nano), 0)::bigint AS charged_nano, l.leave_at
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
