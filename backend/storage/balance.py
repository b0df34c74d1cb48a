"""What balancing looks at: executors by their queues, work that nobody has begun, and where else it may run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.balancing import Executor, Movable, Stuck, Unused
from backend.domain.ids import ItemId, LeaseId, NodeId, OrderId
from backend.domain.machines import Machine, needs_of
from backend.domain.tiers import TierName
from backend.domain.work import PROFILE_FACTOR
from backend.storage.ids import first_id_at
from backend.storage.leases import OpenLease
from backend.storage.nodes import HARDWARE, alive_since


@dataclass(frozen=True, slots=True)
class OpenBerth:
    """An active lease with its load, its price, and the machine that it is on as if that were idle."""

    lease: OpenLease
    price_nano: int
    machine: Machine


class BalanceRepository:
    """Executors, and items in state `queued`; claimed ones are nobody's to move."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def executors(self, now: datetime) -> list[Executor]:
        """Every queue with living agents, by name, as if each were as quick as its models' profiles."""
        rows: Any = self._connection.execute(
            text("""
                WITH living AS (
                    SELECT queue, count(*) AS agents FROM agents
                    WHERE state = 'up' AND beat_at > :alive_since AND queue IS NOT NULL GROUP BY queue
                ), pending AS (
                    SELECT l.node_id, sum(i.us_max)::bigint / :factor AS us
                    FROM work_items i JOIN leases l ON l.id = i.lease_id
                    WHERE i.state IN ('queued', 'running') GROUP BY l.node_id
                )
                SELECT n.queue, sum(n.slots)::int, living.agents, coalesce(sum(pending.us), 0)::bigint
                FROM nodes n JOIN living USING (queue) LEFT JOIN pending ON pending.node_id = n.id
                GROUP BY n.queue, living.agents ORDER BY n.queue
            """),
            {"alive_since": alive_since(now), "factor": PROFILE_FACTOR},
        )
        return [Executor(*row) for row in rows]

    def slowness(self, since: datetime, limit: int) -> dict[str, float]:
        """Per queue, measured time over profiled time of the items placed after `since`, the newest `limit` of all.

        Without those of training, whose time nobody has profiled.
        """
        rows = self._connection.execute(
            text("""
                WITH recent AS MATERIALIZED (
                    SELECT lease_id, reported_us, us_max FROM work_items
                    WHERE id >= :since AND state IN ('committed', 'settled') AND NOT judged
                    ORDER BY id DESC LIMIT :limit
                )
                SELECT n.queue, (sum(r.reported_us) * :factor / sum(r.us_max))::float8 AS slowness
                FROM recent r
                -- OFFSET 0: each lease by its key, since there are many more than were used lately
                JOIN LATERAL (SELECT node_id FROM leases WHERE id = r.lease_id OFFSET 0) l ON true
                JOIN nodes n ON n.id = l.node_id GROUP BY n.queue
            """),
            {"since": first_id_at(since), "limit": limit, "factor": PROFILE_FACTOR},
        )
        return {row.queue: row.slowness for row in rows}

    def orders_on(self, crowded: Collection[str], idle: Collection[str], limit: int) -> list[OrderId]:
        """Running orders with items that wait in crowded queues, and with leases on nodes of idle ones."""
        rows = self._connection.execute(
            text("""
                SELECT DISTINCT i.order_id FROM work_items i
                JOIN units u ON u.id = i.unit_id AND u.queue = ANY(:crowded)
                JOIN orders o ON o.id = i.order_id AND o.state = 'running'
                WHERE i.state = 'queued' AND EXISTS (
                    SELECT 1 FROM leases l JOIN nodes n ON n.id = l.node_id WHERE l.order_id = i.order_id
                    AND l.state = 'active' AND l.leave_at IS NULL AND n.state = 'active' AND n.queue = ANY(:idle)
                ) ORDER BY 1 LIMIT :limit
            """),
            {"crowded": list(crowded), "idle": list(idle), "limit": limit},
        )
        return [row.order_id for row in rows]

    def lock_queued(self, orders: Collection[OrderId], queues: Collection[str], limit: int) -> list[Movable]:
        """The last items of these orders, which the caller has locked, that wait in these queues; locked as well.

        What is being claimed at this moment is left out.
        """
        rows: Any = self._connection.execute(
            text("""
                SELECT i.id, i.order_id, u.queue, l.price_nano_per_slot_s, i.us_max, i.us_max / :factor
                FROM work_items i JOIN leases l ON l.id = i.lease_id JOIN units u ON u.id = i.unit_id
                WHERE i.id IN (
                    SELECT w.id FROM work_items w JOIN units v ON v.id = w.unit_id
                    WHERE w.order_id = ANY(:orders) AND w.state = 'queued' AND v.queue = ANY(:queues)
                    ORDER BY w.id DESC LIMIT :limit
                ) AND i.state = 'queued' ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
            """),
            {"orders": list(orders), "queues": list(queues), "limit": limit, "factor": PROFILE_FACTOR},
        )
        return [Movable(ItemId(item), order, *rest) for item, order, *rest in rows]

    def berths(self, orders: Collection[OrderId], queues: Collection[str]) -> list[OpenBerth]:
        """Active leases of these orders on active nodes of these queues; those that have to leave take no more."""
        rows: Any = self._connection.execute(
            text(f"""
                WITH load AS MATERIALIZED (
                    SELECT lease_id, count(*) AS items, sum(us_max)::bigint AS us_max FROM work_items
                    WHERE order_id = ANY(:orders) AND state IN ('queued', 'running') GROUP BY lease_id
                )
                SELECT l.id, l.order_id, n.queue, o.tier, l.slots, coalesce(load.items, 0),
                       coalesce(load.us_max, 0), o.traceparent, l.price_nano_per_slot_s,
                       n.id, n.slots, 0 AS busy_slots, {HARDWARE}
                FROM leases l JOIN orders o ON o.id = l.order_id JOIN nodes n ON n.id = l.node_id
                LEFT JOIN load ON load.lease_id = l.id
                WHERE l.order_id = ANY(:orders) AND l.state = 'active' AND l.leave_at IS NULL
                AND n.state = 'active' AND n.queue = ANY(:queues) ORDER BY l.id
            """),
            {"orders": list(orders), "queues": list(queues)},
        )
        return [
            OpenBerth(OpenLease(lease, order, queue, TierName(tier), *load), price, Machine(*machine))
            for lease, order, queue, tier, *load, price, machine in ((*row[:9], row[9:]) for row in rows)
        ]

    def stuck(self, queues: Collection[str], limit: int) -> list[Stuck]:
        """Leases in these queues whose orders have no other, and on which nothing runs or ran; the youngest first."""
        rows: Any = self._connection.execute(
            text("""
                SELECT l.id, l.order_id, o.resource_class || '/' || o.region, l.slots, o.limit_nano_per_slot_s,
                       f.ask_nano_per_slot_s, o.needs, n.id, n.queue, l.earns_nano_per_slot_s,
                       -- FILTER, not WHERE: of each order's items, never of all that are queued each time
                       (SELECT (sum(i.us_max) FILTER (WHERE i.state = 'queued'))::bigint / :factor FROM work_items i
                        WHERE i.order_id = l.order_id),
                       ARRAY(SELECT x.node_id FROM leases x WHERE x.order_id = l.order_id AND x.state <> 'active')
                FROM leases l JOIN nodes n ON n.id = l.node_id AND n.queue = ANY(:queues)
                JOIN orders o ON o.id = l.order_id AND o.state = 'running' AND o.workload <> 'session'
                LEFT JOIN offers f ON f.node_id = n.id AND f.state = 'open' AND n.state = 'active'
                WHERE l.state = 'active' AND l.leave_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM leases x WHERE x.order_id = l.order_id AND x.id <> l.id
                                AND x.state = 'active')
                AND EXISTS (SELECT 1 FROM work_items i WHERE i.order_id = l.order_id AND i.state = 'queued')
                AND NOT EXISTS (SELECT 1 FROM work_items i WHERE i.order_id = l.order_id
                                AND i.state NOT IN ('queued', 'waiting'))
                ORDER BY l.id DESC LIMIT :limit
            """),
            {"queues": list(queues), "limit": limit, "factor": PROFILE_FACTOR},
        )
        return [
            Stuck(lease, order, market, slots, limit, ask, needs_of(needs), node, queue, earns, us, frozenset(left))
            for lease, order, market, slots, limit, ask, needs, node, queue, earns, us, left in rows
        ]

    def unused(self, queues: Collection[str]) -> list[Unused]:
        """Machines of these queues that are on sale and have free slots, and run whatever model."""
        rows: Any = self._connection.execute(
            text(
                f"SELECT n.resource_class || '/' || n.region, f.ask_nano_per_slot_s, n.queue,"
                f" n.id, n.slots, n.busy_slots, {HARDWARE}"
                f" FROM nodes n JOIN offers f ON f.node_id = n.id AND f.state = 'open'"
                f" WHERE n.state = 'active' AND NOT n.external AND n.queue = ANY(:queues)"
                f" AND n.busy_slots < n.slots ORDER BY n.id"
            ),
            {"queues": list(queues)},
        )
        return [Unused(market, ask, Machine(*machine), queue) for market, ask, queue, *machine in rows]

    def lock_unbegun(self, leases: Collection[LeaseId]) -> set[LeaseId]:
        """Those of these leases on which really nothing was begun; their items are locked, so nobody begins now."""
        rows = self._connection.execute(
            text(
                "SELECT lease_id, state FROM work_items WHERE order_id IN ("
                " SELECT order_id FROM leases WHERE id = ANY(:leases)) AND lease_id = ANY(:leases)"
                " ORDER BY id FOR UPDATE"
            ),
            {"leases": list(leases)},
        ).all()
        return {LeaseId(row.lease_id) for row in rows} - {
            LeaseId(row.lease_id) for row in rows if row.state != "queued"
        }

    def lock_free_slots(self, nodes: Collection[NodeId]) -> dict[NodeId, int]:
        """Free slots of those of these nodes that are active and on sale; all are locked, in id order."""
        rows = self._connection.execute(
            text(
                "SELECT n.id, n.slots - n.busy_slots AS free, n.state = 'active' AND EXISTS (SELECT 1 FROM offers f"
                " WHERE f.node_id = n.id AND f.state = 'open') AS on_sale"
                " FROM nodes n WHERE n.id = ANY(:nodes) ORDER BY n.id FOR UPDATE OF n"
            ),
            {"nodes": list(nodes)},
        )
        return {NodeId(row.id): row.free for row in rows if row.on_sale}

    def grant_elsewhere(self, leases: Sequence[tuple[LeaseId, LeaseId, NodeId]], now: datetime) -> None:
        """New leases by the trades, and at the prices, of others: the id of each, that of the other, and the node."""
        news, olds, nodes = zip(*leases, strict=True)
        self._connection.execute(
            text("""
                INSERT INTO leases (id, trade_id, order_id, node_id, slots, price_nano_per_slot_s,
                                    earns_nano_per_slot_s, state, granted_at)
                SELECT m.id, l.trade_id, l.order_id, m.node_id, l.slots, l.price_nano_per_slot_s,
                       l.earns_nano_per_slot_s, 'active', :now
                FROM unnest(CAST(:news AS uuid[]), CAST(:olds AS uuid[]), CAST(:nodes AS uuid[]))
                     AS m (id, old_id, node_id) JOIN leases l ON l.id = m.old_id
            """),
            {"news": list(news), "olds": list(olds), "nodes": list(nodes), "now": now},
        )
