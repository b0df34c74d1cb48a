"""Work items and the units that carry them. Executors claim and commit through `node_database`, not here."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AgentId, ItemId, NodeId, OrderId, UnitId
from backend.domain.work import ATTEMPTS_MAX, Dispatch, PackedUnit, WaitingItem
from backend.storage.ids import new_id
from backend.storage.lapses import LAPSE
from backend.storage.rows import insert_records, insert_rows
from backend.storage.tables import ItemRow, UnitRow
from backend.storage.work_rows import CommittedItem, Exposure, Item, Lapsed, Left, NewItem


class WorkRepository:
    """Items and units."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, items: Sequence[NewItem]) -> None:
        """Record new items, waiting for a lease."""
        insert_records(self._connection, ItemRow, items, state="waiting")

    def orders_waiting(self, limit: int) -> list[OrderId]:
        """Running orders with items that have no unit yet."""
        rows = self._connection.execute(
            text("""
                SELECT DISTINCT i.order_id FROM work_items i JOIN orders o ON o.id = i.order_id
                WHERE i.state = 'waiting' AND o.state = 'running' ORDER BY 1 LIMIT :limit
            """),
            {"limit": limit},
        )
        return [row.order_id for row in rows]

    def waiting(self, orders: Collection[OrderId]) -> dict[OrderId, list[WaitingItem]]:
        """Items of these orders that have no unit yet, in order; the orders are locked by the caller."""
        rows = self._connection.execute(
            text(
                "SELECT id, order_id, us_max FROM work_items"
                " WHERE order_id = ANY(:orders) AND state = 'waiting' ORDER BY id"
            ),
            {"orders": list(orders)},
        ).all()
        waiting: dict[OrderId, list[WaitingItem]] = {}
        for item, order, us_max in rows:
            waiting.setdefault(order, []).append(WaitingItem(item, us_max))
        return waiting

    def queue(self, units: Sequence[PackedUnit], resend_at: datetime) -> list[Dispatch]:
        """Put items into units, which are sent again at `resend_at` if nobody claims them; returns their messages.

        A lease that does not exist is no lease, without which the table refuses the item.
        """
        dispatches = [Dispatch(UnitId(new_id()), unit.queue, unit.priority, unit.traces) for unit in units]
        insert_rows(
            self._connection,
            UnitRow,
            [
                {
                    "id": d.unit_id,
                    "queue": d.queue,
                    "priority": d.priority,
                    "sends": 1,
                    "resend_at": resend_at,
                    "items": len(unit.items),
                    "traces": ",".join(unit.traces) or None,
                }
                for d, unit in zip(dispatches, units, strict=True)
            ],
        )
        if not units:
            return []
        placed = [(item, unit, lease) for unit, packed in enumerate(units, 1) for item, lease in packed.items]
        leases = {lease: place for place, lease in enumerate(dict.fromkeys(lease for _, _, lease in placed), 1)}
        self._connection.execute(
            text(
                "UPDATE work_items i SET state = 'queued', unit_id = (CAST(:units AS uuid[]))[v.unit],"
                # Instead of a foreign key: a lease that the table has not is NULL, which the item's table refuses.
                " lease_id = (ARRAY(SELECT (SELECT l.id FROM leases l WHERE l.id = a.id)"
                " FROM unnest(CAST(:leases AS uuid[])) WITH ORDINALITY AS a (id, place) ORDER BY a.place))[v.lease]"
                " FROM unnest(CAST(:items AS uuid[]), CAST(:unit AS int[]), CAST(:lease AS int[]))"
                " AS v (id, unit, lease) WHERE i.id = v.id"
            ),
            {  # of units and leases there are few: an item names the places of its own among them
                "units": [dispatch.unit_id for dispatch in dispatches],
                "leases": list(leases),
                "items": [item for item, _, _ in placed],
                "unit": [unit for _, unit, _ in placed],
                "lease": [leases[lease] for _, _, lease in placed],
            },
        )
        return dispatches

    def lock_committed(self, orders: Collection[OrderId], limit: int) -> list[CommittedItem]:
        """Items of these orders, which the caller has locked, that ran and are not charged yet: nobody else changes
        them then, so they need no locks of their own.
        """
        rows: Any = self._connection.execute(
            text("""
                SELECT i.id, i.order_id, i.billed_us, l.price_nano_per_slot_s, l.earns_nano_per_slot_s,
                       n.account_id, l.node_id
                FROM work_items i JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id
                WHERE i.order_id = ANY(:orders) AND i.state = 'committed' ORDER BY i.id LIMIT :limit
            """),
            {"orders": list(orders), "limit": limit},
        )
        return [CommittedItem(*row) for row in rows]

    def left(self, orders: Collection[OrderId]) -> dict[OrderId, Left]:
        """Per order, items not settled yet (reported and committed ones included) and dead ones."""
        rows = self._connection.execute(
            text("""
                SELECT order_id, count(*) FILTER (WHERE state NOT IN ('settled', 'cancelled', 'dead', 'rejected'))
                       AS unsettled, count(*) FILTER (WHERE state = 'dead') AS dead
                FROM work_items WHERE order_id = ANY(:orders) GROUP BY order_id
            """),
            {"orders": list(orders)},
        )
        return {row.order_id: Left(row.unsettled, row.dead) for row in rows}

    def exposures(self, orders: Collection[OrderId]) -> dict[OrderId, Exposure]:
        """What the unsettled items of these orders, which the caller has locked, may still cost."""
        rows = self._connection.execute(
            text("""
                WITH dearest AS (
                    SELECT order_id, max(price_nano_per_slot_s) AS price FROM leases
                    WHERE order_id = ANY(:orders) AND state = 'active' GROUP BY order_id
                )
                SELECT i.order_id,
                       sum(ceil(coalesce(i.billed_us, i.us_max) * coalesce(own.price_nano_per_slot_s,
                           dearest.price, o.limit_nano_per_slot_s)::numeric / 1000000))::bigint AS worst_nano,
                       coalesce(sum(ceil(coalesce(i.billed_us, i.us_max) * own.price_nano_per_slot_s::numeric
                           / 1000000)), 0)::bigint AS leased_nano,
                       coalesce(sum(i.us_max) FILTER (WHERE own.id IS NULL), 0)::bigint AS waiting_us,
                       count(*) FILTER (WHERE own.id IS NULL) AS waiting_items
                FROM work_items i JOIN orders o ON o.id = i.order_id LEFT JOIN leases own ON own.id = i.lease_id
                LEFT JOIN dearest ON dearest.order_id = i.order_id
                WHERE i.order_id = ANY(:orders) AND i.state IN ('waiting', 'queued', 'running', 'reported', 'committed')
                GROUP BY i.order_id
            """),
            {"orders": list(orders)},
        ).all()
        return {order: Exposure(*exposure) for order, *exposure in rows}

    def mark_settled(self, charges: Sequence[tuple[ItemId, int]]) -> None:
        """Items that are charged, and their charges in nano-credits."""
        if not charges:
            return
        self._connection.execute(
            text(
                "UPDATE work_items i SET state = 'settled', charged_nano = v.charged_nano"
                " FROM unnest(CAST(:items AS uuid[]), CAST(:charges AS bigint[])) AS v (id, charged_nano)"
                " WHERE i.id = v.id"
            ),
            {"items": [item for item, _ in charges], "charges": [charge for _, charge in charges]},
        )

    def cancel(self, orders: Collection[OrderId]) -> None:
        """Stop what did not run; a commit that is under way is awaited, one that comes later is void."""
        self._connection.execute(
            text("""
                UPDATE work_items SET state = 'cancelled' WHERE id IN (
                    SELECT id FROM work_items
                    WHERE order_id = ANY(:orders) AND state IN ('waiting', 'queued', 'running') ORDER BY id FOR UPDATE
                )
            """),
            {"orders": list(orders)},
        )

    def take_back(self, orders: Collection[OrderId], nodes: Collection[NodeId]) -> None:
        """Let items on these nodes wait for another lease; what a node still commits is void."""
        self._connection.execute(
            text("""
                UPDATE work_items SET state = 'waiting', unit_id = NULL, lease_id = NULL WHERE id IN (
                    SELECT i.id FROM work_items i JOIN leases l ON l.id = i.lease_id
                    WHERE i.order_id = ANY(:orders) AND i.state IN ('queued', 'running') AND l.node_id = ANY(:nodes)
                    ORDER BY i.id FOR UPDATE OF i
                )
            """),
            {"orders": list(orders), "nodes": list(nodes)},
        )

    def lapse(self, now: datetime, limit: int) -> list[Lapsed]:
        """Return items whose claim ran out to their unit (dead after too many attempts) and have the unit resent."""
        return self._lapse("i.claimed_until < :now", now, limit)

    def lapse_agents(self, agents: Collection[AgentId], now: datetime, limit: int) -> list[Lapsed]:
        """As `lapse`, for what these agents hold, whose processes have ended: nobody will prolong it."""
        return self._lapse("i.agent_id = ANY(:agents)", now, limit, agents=list(agents))

    def resend(self, now: datetime, limit: int) -> list[Dispatch]:
        """Units with items that nobody took in time; each waits twice as long for its next turn."""
        rows = self._connection.execute(
            text("""
                UPDATE units SET sends = sends + 1,
                       resend_at = :now + least(60, 5 * 2 ^ least(sends, 10)) * interval '1 s'
                WHERE id IN (
                    SELECT u.id FROM units u WHERE u.resend_at <= :now
                    AND EXISTS (SELECT 1 FROM work_items i WHERE i.unit_id = u.id AND i.state = 'queued')
                    ORDER BY u.id LIMIT :limit FOR UPDATE SKIP LOCKED
                ) RETURNING id, queue, priority
            """),
            {"now": now, "limit": limit},
        )
        return [Dispatch(row.id, row.queue, row.priority) for row in rows]

    def of_order(self, order_id: OrderId) -> list[Item]:
        """The items of an order in their order, with results."""
        rows: Any = self._connection.execute(
            text("""
                SELECT i.id, i.seq, i.rows, i.state, i.attempt, n.name, i.claimed_at, i.committed_at, i.billed_us,
                       i.charged_nano, i.outputs, i.error
                FROM work_items i LEFT JOIN leases l ON l.id = i.lease_id LEFT JOIN nodes n ON n.id = l.node_id
                WHERE i.order_id = :order ORDER BY i.seq
            """),
            {"order": order_id},
        )
        return [Item(*row) for row in rows]

    def _lapse(self, which: str, now: datetime, limit: int, **binds: object) -> list[Lapsed]:
        rows: Any = self._connection.execute(
            text(LAPSE.format(which=which)), {"now": now, "limit": limit, "attempts": ATTEMPTS_MAX, **binds}
        )
        return [Lapsed(*row) for row in rows]
