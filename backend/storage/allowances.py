"""Allowances and pooled leases: which gateway has them, which of its reports were taken, and what was used."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.allowances import POOL_ID, POOL_NAME, Used
from backend.domain.ids import AccountId, GatewayId, LeaseId, NodeId, OrderId
from backend.domain.ledger import OWNED_KINDS
from backend.domain.periods import Period
from backend.storage.ids import new_id
from backend.storage.leases import Served
from backend.storage.nodes import WAY, alive_since
from backend.storage.rows import insert_rows, update_rows
from backend.storage.tables import GatewayOrderRow, LedgerAccountRow, PooledUseRow


@dataclass(frozen=True, slots=True)
class Held:
    """An allowance or pooled lease as its gateway's reports find it."""

    order_id: OrderId
    gateway_id: GatewayId
    seq: int


@dataclass(frozen=True, slots=True)
class Payee:
    """Whom the use of a lease pays, and for which node."""

    provider: AccountId
    node_id: NodeId


@dataclass(frozen=True, slots=True)
class PooledLease:
    """A pooled lease as a gateway needs it; the endpoint is how a living agent of the node is reached, if one is."""

    lease_id: LeaseId
    order_id: OrderId
    node_id: NodeId
    node_name: str
    slots: int
    price_nano_per_slot_s: int
    earns_nano_per_slot_s: int
    state: str
    endpoint: str | None
    token: str | None


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """What an account's allowances that began on a day were used for, of one model."""

    day: datetime
    model: str
    requests: int
    busy_us: int
    charged_nano: int


class AllowanceRepository:
    """What gateways hold and use; the orders themselves are locked by whoever changes them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_pool_account(self, now: datetime) -> None:
        """The account that pooled leases belong to, with the first of them."""
        opened = self._connection.execute(
            text(
                "INSERT INTO accounts (id, name, created_at) VALUES (:id, :name, :now)"
                " ON CONFLICT (id) DO NOTHING RETURNING id"
            ),
            {"id": POOL_ID, "name": POOL_NAME, "now": now},
        ).one_or_none()
        if opened:
            insert_rows(
                self._connection,
                LedgerAccountRow,
                [{"id": new_id(), "owner_id": POOL_ID, "kind": str(kind)} for kind in OWNED_KINDS],
            )

    def seen(self, gateway: GatewayId, now: datetime) -> None:
        """A gateway was heard of."""
        self._connection.execute(
            text(
                "INSERT INTO gateways (id, seen_at) VALUES (:id, :now)"
                " ON CONFLICT (id) DO UPDATE SET seen_at = greatest(gateways.seen_at, excluded.seen_at)"
            ),
            {"id": gateway, "now": now},
        )

    def add(self, order: OrderId, gateway: GatewayId) -> None:
        """An order is a gateway's, which has not reported anything yet."""
        insert_rows(self._connection, GatewayOrderRow, [{"order_id": order, "gateway_id": gateway}])

    def held(self, orders: Collection[OrderId]) -> dict[OrderId, Held]:
        """Which gateways have these orders, and the last reports taken; the caller has locked the orders."""
        rows: Any = self._connection.execute(
            text("SELECT order_id, gateway_id, seq FROM gateway_orders WHERE order_id = ANY(:orders)"),
            {"orders": list(orders)},
        )
        return {row.order_id: Held(*row) for row in rows}

    def take(self, seqs: Mapping[OrderId, int]) -> None:
        """These are the last reports taken."""
        rows = [{"order_id": order, "seq": seq} for order, seq in seqs.items()]
        update_rows(self._connection, GatewayOrderRow, rows, key="order_id")

    def payees(self, leases: Collection[LeaseId]) -> dict[LeaseId, Payee]:
        """Whom the use of leases pays."""
        rows: Any = self._connection.execute(
            text(
                "SELECT l.id, n.account_id, n.id FROM leases l JOIN nodes n ON n.id = l.node_id WHERE l.id = ANY(:ids)"
            ),
            {"ids": list(leases)},
        )
        return {row[0]: Payee(row[1], row[2]) for row in rows}

    def count(self, used: Collection[tuple[OrderId, Used]]) -> None:
        """Add to what allowances were used for; one row for an allowance and lease."""
        insert_rows(
            self._connection,
            PooledUseRow,
            [
                {
                    "order_id": order,
                    "lease_id": use.lease_id,
                    "requests": use.requests,
                    "busy_us": use.busy_us,
                    "charged_nano": use.paid_nano,
                }
                for order, use in used
            ],
            "ON CONFLICT (order_id, lease_id) DO UPDATE SET requests = pooled_uses.requests + excluded.requests,"
            " busy_us = pooled_uses.busy_us + excluded.busy_us,"
            " charged_nano = pooled_uses.charged_nano + excluded.charged_nano",
        )

    def lock_of_lost(self, seen_before: datetime, limit: int) -> list[OrderId]:
        """Open orders of gateways that were not heard of since a moment, locked until the transaction ends."""
        rows = self._connection.execute(
            text("""
                SELECT o.id FROM gateways g JOIN gateway_orders b ON b.gateway_id = g.id AND b.is_open
                JOIN orders o ON o.id = b.order_id
                WHERE g.seen_at < :before AND o.state IN ('open', 'running')
                ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED
            """),
            {"before": seen_before, "limit": limit},
        )
        return [row.id for row in rows]

    def lock_forgotten(
        self, gateway: GatewayId, held: Collection[OrderId], placed_before: datetime, limit: int
    ) -> list[OrderId]:
        """Open orders of a gateway other than those that it says it has, locked until the transaction ends."""
        rows = self._connection.execute(
            text("""
                SELECT o.id FROM gateway_orders b JOIN orders o ON o.id = b.order_id
                WHERE b.gateway_id = :gateway AND b.is_open AND o.state IN ('open', 'running')
                AND o.placed_at < :before AND NOT o.id = ANY(:held)
                ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED
            """),
            {"gateway": gateway, "held": list(held), "before": placed_before, "limit": limit},
        )
        return [row.id for row in rows]

    def close_ended(self, gateway: GatewayId) -> None:
        """What of a gateway's orders has ended is not looked at again."""
        self._connection.execute(
            text("""
                UPDATE gateway_orders b SET is_open = false FROM orders o
                WHERE b.gateway_id = :gateway AND b.is_open AND o.id = b.order_id AND o.state NOT IN ('open', 'running')
            """),
            {"gateway": gateway},
        )

    def forget_gateways(self, seen_before: datetime) -> None:
        """Forget gateways that were not heard of since a moment and have nothing open."""
        self._connection.execute(
            text("""
                DELETE FROM gateways g WHERE g.seen_at < :before AND NOT EXISTS (
                    SELECT 1 FROM gateway_orders b JOIN orders o ON o.id = b.order_id
                    WHERE b.gateway_id = g.id AND b.is_open AND o.state IN ('open', 'running'))
            """),
            {"before": seen_before},
        )

    def lease_of(self, order: OrderId, now: datetime) -> PooledLease | None:
        """The lease that an order for a pooled lease was granted."""
        rows: Any = self._connection.execute(
            text(f"""
                SELECT l.id, l.order_id, n.id, n.name, l.slots, l.price_nano_per_slot_s, l.earns_nano_per_slot_s,
                       l.state, a.endpoint, a.token
                FROM leases l JOIN nodes n ON n.id = l.node_id
                {WAY}
                WHERE l.order_id = :order ORDER BY l.id DESC LIMIT 1
            """),
            {"order": order, "alive_since": alive_since(now)},
        )
        return next((PooledLease(*row) for row in rows), None)

    def served(self, order: OrderId) -> list[Served]:
        """What an allowance was used for, lease by lease, as a receipt shows it; requests are its items."""
        rows: Any = self._connection.execute(
            text("""
                SELECT l.id, n.id, n.name, n.resource_class, n.region, l.slots, l.price_nano_per_slot_s, l.state,
                       u.requests, u.busy_us, u.charged_nano, l.leave_at
                FROM pooled_uses u JOIN leases l ON l.id = u.lease_id JOIN nodes n ON n.id = l.node_id
                WHERE u.order_id = :order ORDER BY l.id
            """),
            {"order": order},
        )
        return [Served(*row) for row in rows]

    def days(self, account: AccountId, period: Period, limit: int) -> list[DayOfUse]:
        """What an account's allowances that began in a period were used for, by day of its time zone and model."""
        rows: Any = self._connection.execute(
            text("""
                SELECT date_trunc('day', o.placed_at, :timezone) AS day, m.name, sum(u.requests)::bigint,
                       sum(u.busy_us)::bigint, sum(u.charged_nano)::bigint
                FROM orders o JOIN pooled_uses u ON u.order_id = o.id JOIN models m ON m.id = o.model_id
                WHERE o.account_id = :account AND o.placed_at >= :since AND o.placed_at < :until
                GROUP BY 1, 2 ORDER BY 1, 2 LIMIT :limit
            """),
            {
                "account": account,
                "since": period.start,
                "until": period.end,
                "timezone": period.timezone,
                "limit": limit,
            },
        )
        return [DayOfUse(*row) for row in rows]
