"""Leases of interruptible orders: those that may be told to leave, and those whose time has come."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import LeaseId, NodeId, OrderId
from backend.domain.machines import Machine
from backend.domain.preemption import Interruptible
from backend.domain.pricing import Market
from backend.domain.tiers import TIERS, TierName
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.order_rows import COLUMNS, Order, order_of


@dataclass(frozen=True, slots=True)
class Leaving:
    """A lease that has to give its slots back."""

    lease_id: LeaseId
    order_id: OrderId


class InterruptionRepository:
    """Leases that may be ended for somebody else's sake."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def running(self, market: Market, now: datetime) -> list[Interruptible]:
        """Active leases of a market's interruptible orders, whether told already or not.

        Only those on nodes that would be offered again, and to anybody: alive, not draining, with an open offer, and
        no servers of somebody else's, which run some models only.
        """
        rows: Any = self._connection.execute(
            text(f"""
                SELECT l.id, l.order_id, f.id, o.tier, o.limit_nano_per_slot_s, l.slots, f.ask_nano_per_slot_s,
                       l.leave_at IS NOT NULL,
                       n.id, n.slots, n.busy_slots, n.cores, n.memory_mb, n.gpu_model, n.gpu_memory_mb, n.accelerators,
                       n.residency, n.latency_ms, n.trust_ppm
                FROM leases l JOIN orders o ON o.id = l.order_id AND o.interruptible AND o.state = 'running'
                JOIN nodes n ON n.id = l.node_id JOIN offers f ON f.node_id = n.id AND f.state = 'open'
                WHERE l.state = 'active' AND o.workload <> 'session' AND n.state = 'active' AND {ALIVE}
                AND NOT n.external AND n.resource_class = :resource_class AND n.region = :region ORDER BY l.id
            """),
            {
                "resource_class": market.resource_class,
                "region": market.region,
                "alive_since": alive_since(now),
            },
        )
        return [
            Interruptible(
                lease, TIERS[TierName(tier)].rank, limit, slots, ask, Machine(*machine), leaving, order, offer
            )
            for lease, order, offer, tier, limit, slots, ask, leaving, *machine in rows
        ]

    def orders_of(self, leases: Collection[LeaseId]) -> list[Order]:
        """The orders of these leases, in order of their ids; not locked."""
        rows = self._connection.execute(
            text(
                f"SELECT {COLUMNS} FROM orders o"
                f" WHERE o.id IN (SELECT order_id FROM leases WHERE id = ANY(:leases)) ORDER BY o.id"
            ),
            {"leases": list(leases)},
        )
        return [order_of(row) for row in rows]

    def tell(self, leases: Collection[LeaseId], leave_at: datetime) -> None:
        """Give these leases notice; no work is put on them any more."""
        self._connection.execute(
            text("UPDATE leases SET leave_at = :leave_at WHERE id = ANY(:ids) AND state = 'active'"),
            {"ids": list(leases), "leave_at": leave_at},
        )

    def due(self, now: datetime, limit: int) -> list[Leaving]:
        """Active leases whose notice is over, the longest first."""
        rows: Any = self._connection.execute(
            text(
                "SELECT id, order_id FROM leases WHERE state = 'active' AND leave_at <= :now"
                " ORDER BY leave_at, id LIMIT :limit"
            ),
            {"now": now, "limit": limit},
        )
        return [Leaving(*row) for row in rows]

    def end(self, leases: Collection[LeaseId], now: datetime) -> dict[NodeId, int]:
        """Take what did not run back from these leases, whose orders the caller has locked, and end them.

        What a node still commits for them is void. Returns the slots that this frees per node.
        """
        self._connection.execute(
            text("""
                UPDATE work_items SET state = 'waiting', unit_id = NULL, lease_id = NULL WHERE id IN (
                    SELECT id FROM work_items WHERE lease_id = ANY(:leases) AND state IN ('queued', 'running')
                    AND order_id IN (SELECT order_id FROM leases WHERE id = ANY(:leases)) ORDER BY id FOR UPDATE
                )
            """),
            {"leases": list(leases)},
        )
        rows = self._connection.execute(
            text(
                "UPDATE leases SET state = 'ended', ended_at = :now WHERE id = ANY(:leases) AND state = 'active'"
                " RETURNING node_id, slots"
            ),
            {"leases": list(leases), "now": now},
        )
        freed: dict[NodeId, int] = {}
        for row in rows:
            freed[row.node_id] = freed.get(row.node_id, 0) + row.slots
        return freed
