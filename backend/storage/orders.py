"""Orders, from placed to closed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, HoldId, NodeId, OrderId
from backend.domain.orders import CloseReason, OrderState
from backend.domain.pricing import Market
from backend.domain.records import record
from backend.storage.nodes import NOT_LEFT, alive_since
from backend.storage.order_rows import COLUMNS, Order, order_of
from backend.storage.rows import insert_records, update_rows
from backend.storage.tables import OrderRow


@record(frozen=True, slots=True)
class Move:
    """An order that got nothing: the market to try next, why, what would have matched, and whether that is the end."""

    order_id: OrderId
    market: Market
    reason: CloseReason
    hint: dict[str, Any] | None
    state: OrderState


@record(frozen=True, slots=True)
class Running:
    """An order that has leases, and its first hold."""

    id: OrderId
    workload: str
    hold_id: HoldId


@record(frozen=True, slots=True)
class Settled:
    """What settlement decided about an order: what it was charged altogether, in nano-credits, and whether it ended."""

    order_id: OrderId
    state: OrderState
    reason: CloseReason | None
    charged_nano: int
    closed_at: datetime | None


# Orders that settlement has something to do with: items ran, or the end was decided, but for what waits for a verdict.
# Sessions settle by window.
_UNSETTLED = f"""
    SELECT {COLUMNS} FROM orders o
    WHERE o.workload NOT IN ('session', 'requests') AND o.state IN ('open', 'running', 'closing') AND o.id IN (
        SELECT order_id FROM work_items WHERE state = 'committed'
        UNION SELECT id FROM orders c WHERE state = 'closing' AND workload NOT IN ('session', 'requests')
            AND NOT EXISTS (SELECT FROM work_items i WHERE i.order_id = c.id AND i.state = 'reported')
    )
"""


class OrderRepository:
    """Orders. Whoever changes one, its items or its leases, locks its row first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, orders: Sequence[Order]) -> None:
        """Record new orders."""
        insert_records(self._connection, OrderRow, orders)

    def find(self, order_id: OrderId, *, for_update: bool = False) -> Order | None:
        """The order of that id."""
        lock = "FOR UPDATE" if for_update else ""
        rows = self._select(f"SELECT {COLUMNS} FROM orders o WHERE o.id = :id {lock}", {"id": order_id})
        return rows[0] if rows else None

    def newest(
        self, account: AccountId | None, state: OrderState | None, limit: int, before: OrderId | None
    ) -> list[Order]:
        """The newest orders of an account (None: of everybody), older than `before`; session orders too."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o WHERE (CAST(:account AS uuid) IS NULL OR o.account_id = :account)"
            f" AND (CAST(:state AS text) IS NULL OR o.state = :state)"
            f" AND (CAST(:before AS uuid) IS NULL OR o.id < :before)"
            f" ORDER BY o.id DESC LIMIT :limit",
            {"account": account, "state": state, "before": before, "limit": limit},
        )

    def open_markets(self) -> list[Market]:
        """Markets that have open orders."""
        rows = self._connection.execute(
            text("SELECT DISTINCT resource_class, region FROM orders WHERE state = 'open' ORDER BY 1, 2")
        )
        return [Market(row.resource_class, row.region) for row in rows]

    def lock_market(self, market: Market) -> bool:
        """Become the one who clears a market until the transaction ends; False if somebody else is."""
        return bool(
            self._connection.execute(
                text("SELECT pg_try_advisory_xact_lock(hashtextextended(:market, 0))"),
                {"market": f"market {market}"},
            ).scalar_one()
        )

    def lock_open(self, market: Market, now: datetime, limit: int) -> list[Order]:
        """Open orders of a market in order of their ids, locked until the transaction ends.

        Of more than `limit`, three in four are those with the highest limits and the rest the oldest, so that neither
        the cheap block the dear nor the dear the old. An order past its deadline has had its chances, or has this one;
        nobody waits for a session that is.
        """
        waiting = (
            "SELECT id FROM orders WHERE state = 'open' AND resource_class = :resource_class AND region = :region"
            " AND (workload <> 'session' OR deadline_at > :now)"
        )
        return self._select(
            f"WITH oldest AS ({waiting} ORDER BY id LIMIT :oldest), dearest AS ("
            f" {waiting} AND id NOT IN (SELECT id FROM oldest) ORDER BY limit_nano_per_slot_s DESC, id LIMIT :dearest)"
            f" SELECT {COLUMNS} FROM orders o WHERE o.state = 'open'"
            f" AND o.id IN (SELECT id FROM oldest UNION ALL SELECT id FROM dearest)"
            f" ORDER BY o.id FOR UPDATE SKIP LOCKED",
            {
                "resource_class": market.resource_class,
                "region": market.region,
                "now": now,
                "dearest": limit - limit // 4,
                "oldest": limit // 4,
            },
        )

    def lock_unsettled(self, limit: int) -> list[Order]:
        """Orders with committed items or at their end, locked until the transaction ends."""
        return self._select(f"{_UNSETTLED} ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED", {"limit": limit})

    def lock_overdue(self, now: datetime, limit: int) -> list[Order]:
        """Open orders past their deadline."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o WHERE o.state = 'open' AND o.deadline_at <= :now"
            f" ORDER BY o.id LIMIT :limit FOR UPDATE SKIP LOCKED",
            {"now": now, "limit": limit},
        )

    def lock_hopeless(self, limit: int) -> list[Order]:
        """Orders whose items are all settled, cancelled, rejected or dead, with at least one dead."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o WHERE o.state IN ('open', 'running') AND o.id IN"
            f" (SELECT order_id FROM work_items WHERE state = 'dead') AND NOT EXISTS"
            f" (SELECT 1 FROM work_items w WHERE w.order_id = o.id AND w.state IN"
            f" ('waiting', 'queued', 'running', 'reported', 'committed'))"
            f" ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED",
            {"limit": limit},
        )

    def lock_on_dead_nodes(self, now: datetime, limit: int) -> list[tuple[Order, list[NodeId]]]:
        """Running orders with active leases on nodes that are not alive, and those nodes."""
        rows = self._connection.execute(
            text(
                # From the dead nodes, of which there are few: from the orders, each of thousands would ask for its own.
                f"SELECT {COLUMNS}, d.nodes FROM orders o JOIN ("
                f" SELECT l.order_id, array_agg(l.node_id) AS nodes FROM leases l JOIN nodes n ON n.id = l.node_id"
                f" WHERE l.state = 'active' AND NOT {NOT_LEFT} GROUP BY l.order_id) d ON d.order_id = o.id"
                f" WHERE o.state = 'running' ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED"
            ),
            {"alive_since": alive_since(now), "limit": limit},
        )
        return [(order_of(row), row.nodes) for row in rows]

    def lock(self, ids: Collection[OrderId]) -> list[Order]:
        """Those of the orders that nobody else has locked."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o WHERE o.id = ANY(:ids) ORDER BY o.id FOR UPDATE SKIP LOCKED",
            {"ids": list(ids)},
        )

    def lock_all(self, ids: Collection[OrderId]) -> list[Order]:
        """The orders, in order of their ids; whoever has one locked is awaited."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o WHERE o.id = ANY(:ids) ORDER BY o.id FOR UPDATE", {"ids": list(ids)}
        )

    def lock_running(self, ids: Collection[OrderId]) -> list[Running]:
        """Those of the orders that run and that nobody else has locked; of a row only what their holds depend on."""
        rows: Any = self._connection.execute(
            text(
                "SELECT id, workload, hold_id FROM orders WHERE id = ANY(:ids) AND state = 'running'"
                " ORDER BY id FOR UPDATE SKIP LOCKED"
            ),
            {"ids": list(ids)},
        ).all()
        return [Running(*row) for row in rows]

    def start(self, ids: Collection[OrderId], now: datetime) -> None:
        """Orders that got a lease."""
        self._connection.execute(
            text(
                "UPDATE orders SET state = 'running', reason = NULL, started_at = coalesce(started_at, :now)"
                " WHERE id = ANY(:ids)"
            ),
            {"ids": list(ids), "now": now},
        )

    def move(self, moves: Sequence["Move"]) -> None:
        """Send orders that got nothing where they go next."""
        update_rows(
            self._connection,
            OrderRow,
            [
                {
                    "id": move.order_id,
                    "resource_class": move.market.resource_class,
                    "region": move.market.region,
                    "reason": str(move.reason),
                    "hint": move.hint,
                    "state": str(move.state),
                }
                for move in moves
            ],
        )

    def reopen_without_lease(self, ids: Collection[OrderId], deadline_at: datetime) -> list[Order]:
        """Those that have no active lease go back to the auction; they get at least until `deadline_at`.

        Training whose work has run, and only waits to be judged, has nothing to buy.
        """
        return self._select(
            f"UPDATE orders o SET state = 'open', deadline_at = greatest(o.deadline_at, :deadline_at)"
            f" WHERE o.id = ANY(:ids)"
            f" AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.order_id = o.id AND l.state = 'active')"
            f" AND (o.workload <> 'training' OR EXISTS (SELECT 1 FROM work_items i WHERE i.order_id = o.id"
            f" AND i.state = 'waiting')) RETURNING {COLUMNS}",
            {"ids": list(ids), "deadline_at": deadline_at},
        )

    def lower_limits(self, limits: Mapping[OrderId, int]) -> None:
        """What these orders can still afford, in nano-credits per slot-second."""
        update_rows(
            self._connection,
            OrderRow,
            [{"id": order_id, "limit_nano_per_slot_s": limit} for order_id, limit in limits.items()],
        )

    def lock_outlived(self, now: datetime, limit: int) -> list[Order]:
        """Running orders whose hold's time is over, locked; open ones end before, by their deadline."""
        return self._select(
            f"SELECT {COLUMNS} FROM orders o JOIN holds h ON h.id = o.hold_id WHERE h.state = 'pending'"
            f" AND h.expires_at <= :now AND o.state = 'running'"
            f" ORDER BY o.id LIMIT :limit FOR UPDATE OF o SKIP LOCKED",
            {"now": now, "limit": limit},
        )

    def begin_close(self, closings: Sequence[tuple[OrderId, CloseReason]]) -> None:
        """Decide the end; settlement brings it about."""
        update_rows(
            self._connection,
            OrderRow,
            [{"id": order_id, "state": "closing", "reason": str(reason)} for order_id, reason in closings],
        )

    def raise_worst_case(self, order_id: OrderId, by_nano: int) -> None:
        """A session that was prolonged may cost more."""
        self._connection.execute(
            text("UPDATE orders SET worst_case_nano = worst_case_nano + :by WHERE id = :id"),
            {"id": order_id, "by": by_nano},
        )

    def write_settled(self, settled: Sequence[Settled]) -> None:
        """Charges and ends that settlement decided."""
        update_rows(
            self._connection,
            OrderRow,
            [
                {
                    "id": s.order_id,
                    "state": str(s.state),
                    "reason": s.reason and str(s.reason),
                    "charged_nano": s.charged_nano,
                    "closed_at": s.closed_at,
                }
                for s in settled
            ],
        )

    def _select(self, statement: str, binds: dict[str, Any]) -> list[Order]:
        # All at once: one by one the driver hands a thousand rows over in twice the time.
        return [order_of(row) for row in self._connection.execute(text(statement), binds).all()]
