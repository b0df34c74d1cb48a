"""Session leases and their prepaid windows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.access import Spender
from backend.domain.ids import AccountId, HoldId, LeaseId, NodeId, OrderId, WindowId
from backend.domain.leases import PAUSE_GRACE_S
from backend.domain.sla import Histogram, Measured
from backend.domain.tiers import TierName
from backend.storage.nodes import WAY, alive_since
from backend.storage.rows import insert_records, update_rows
from backend.storage.tables import LeaseRow, WindowRow

PAUSE_GRACE = timedelta(seconds=PAUSE_GRACE_S)


@dataclass(frozen=True, slots=True)
class Window:
    """A prepaid stretch of a lease."""

    id: WindowId
    lease_id: LeaseId
    seq: int
    hold_id: HoldId
    starts_at: datetime
    ends_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """An unsettled window with what its charge depends on."""

    id: WindowId
    lease_id: LeaseId
    order_id: OrderId
    hold_id: HoldId
    starts_at: datetime
    ends_at: datetime
    slots: int
    price_nano: int
    earns_nano: int
    lease_ended_at: datetime | None
    provider: AccountId
    node_id: NodeId

    def is_over(self, now: datetime) -> bool:
        """Whether nothing more will be used of it."""
        return self.ends_at <= now or self.lease_ended_at is not None


@dataclass(frozen=True, slots=True)
class Session:
    """A session lease as a gateway needs it; the endpoint is how a living agent of the node is reached, if one is.

    `measured` is what of its requests is in SLA windows already.
    """

    lease_id: LeaseId
    order_id: OrderId
    account_id: AccountId
    member_id: AccountId | None
    tier: TierName
    node_id: NodeId
    node_name: str
    slots: int
    price_nano_per_slot_s: int
    state: str
    granted_at: datetime
    paused_at: datetime | None
    window_seq: int
    window_ends_at: datetime
    endpoint: str | None
    token: str | None
    provider_id: AccountId
    sla: bool
    measured: Measured

    @property
    def spender(self) -> Spender:
        """Who pays for it."""
        return Spender(self.account_id, self.member_id)

    @property
    def pays_until(self) -> datetime:
        """Until when the next window may be bought: the end of this one, or while it is paused a grace later."""
        return self.window_ends_at + PAUSE_GRACE if self.paused_at else self.window_ends_at


_SESSION = f"""
    SELECT l.id, l.order_id, o.account_id, o.member_id, o.tier, n.id, n.name, l.slots, l.price_nano_per_slot_s,
           l.state, l.granted_at, l.paused_at, w.seq, w.ends_at, a.endpoint, a.token, n.account_id, o.sla, l.measured
    FROM leases l JOIN orders o ON o.id = l.order_id JOIN nodes n ON n.id = l.node_id
    JOIN LATERAL (SELECT seq, ends_at FROM windows WHERE lease_id = l.id ORDER BY seq DESC LIMIT 1) w ON true
    {WAY}
"""


class SessionRepository:
    """Leases of session orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_windows(self, windows: Sequence[Window]) -> None:
        """Record new windows; one per lease and number."""
        insert_records(self._connection, WindowRow, windows)

    def of_order(self, order_id: OrderId, now: datetime) -> Session | None:
        """The lease of a session order, once it has one."""
        return self._one("l.order_id = :id", order_id, now)

    def of_lease(self, lease_id: LeaseId, now: datetime) -> Session | None:
        """A session by its lease."""
        return self._one("l.id = :id", lease_id, now)

    def promised(self, orders: Collection[OrderId], now: datetime) -> list[Session]:
        """Those of these orders' sessions that have an SLA and have not ended."""
        return self._some("l.order_id = ANY(:id) AND o.sla AND l.state = 'active'", list(orders), now)

    def states(self, leases: Collection[LeaseId]) -> dict[LeaseId, str]:
        """Whether leases are still active."""
        rows = self._connection.execute(
            text("SELECT id, state FROM leases WHERE id = ANY(:ids)"), {"ids": list(leases)}
        )
        return {row.id: row.state for row in rows}

    def orders_to_settle(self, now: datetime, limit: int) -> list[OrderId]:
        """Session orders with something to settle.

        A window is over, or its lease is; a paused lease has waited long enough; or it closes without ever having had
        a window.
        """
        rows = self._connection.execute(
            text("""
                SELECT l.order_id FROM windows w JOIN leases l ON l.id = w.lease_id
                WHERE w.state = 'open' AND (w.ends_at <= :now OR l.state = 'ended')
                UNION SELECT id FROM orders WHERE state = 'closing' AND workload IN ('session', 'requests')
                UNION SELECT l.order_id FROM leases l WHERE l.state = 'active' AND l.paused_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM windows w WHERE w.lease_id = l.id AND w.ends_at > :unpaid_since)
                ORDER BY 1 LIMIT :limit
            """),
            {"now": now, "unpaid_since": now - PAUSE_GRACE, "limit": limit},
        )
        return [row.order_id for row in rows]

    def open_windows(self, orders: Collection[OrderId]) -> list[OpenWindow]:
        """Unsettled windows of these orders, whose rows the caller has locked."""
        rows: Any = self._connection.execute(
            text("""
                SELECT w.id, w.lease_id, l.order_id, w.hold_id, w.starts_at, w.ends_at, l.slots,
                       l.price_nano_per_slot_s, l.earns_nano_per_slot_s, l.ended_at, n.account_id,
                       n.id
                FROM windows w JOIN leases l ON l.id = w.lease_id JOIN nodes n ON n.id = l.node_id
                WHERE l.order_id = ANY(:orders) AND w.state = 'open' ORDER BY w.lease_id, w.seq
            """),
            {"orders": list(orders)},
        )
        return [OpenWindow(*row) for row in rows]

    def paused(self, orders: Collection[OrderId]) -> dict[OrderId, datetime]:
        """Those of these orders whose lease waits for money, and when its last window ended or ends."""
        rows = self._connection.execute(
            text("""
                SELECT l.order_id, max(w.ends_at) AS paid_until FROM leases l JOIN windows w ON w.lease_id = l.id
                WHERE l.order_id = ANY(:orders) AND l.state = 'active' AND l.paused_at IS NOT NULL GROUP BY l.order_id
            """),
            {"orders": list(orders)},
        )
        return {row.order_id: row.paid_until for row in rows}

    def pause(self, lease_id: LeaseId, since: datetime | None) -> None:
        """A lease waits for money since a moment, or (None) no longer."""
        self._connection.execute(
            text("UPDATE leases SET paused_at = :since WHERE id = :id"), {"id": lease_id, "since": since}
        )

    def keep_measured(self, measured: Mapping[LeaseId, Measured]) -> None:
        """So much of these leases' requests is in SLA windows."""
        update_rows(
            self._connection,
            LeaseRow,
            [
                {"id": lease, "measured": {"failures": of.failures, "histogram": list(of.latencies.counts)}}
                for lease, of in measured.items()
            ],
        )

    def burn_nano_per_s(self, accounts: Collection[AccountId]) -> dict[AccountId, int]:
        """What the active sessions of accounts cost per second; accounts without any are left out."""
        found = self._connection.execute(
            text(
                "SELECT o.account_id, sum(l.price_nano_per_slot_s * l.slots) FROM leases l"
                " JOIN orders o ON o.id = l.order_id"
                " WHERE o.account_id = ANY(:accounts) AND o.workload = 'session' AND o.state = 'running'"
                " AND l.state = 'active' AND l.paused_at IS NULL GROUP BY o.account_id"
            ),
            {"accounts": list(accounts)},
        )
        return {AccountId(account): int(nano) for account, nano in found}

    def mark_settled(self, windows: Collection[WindowId]) -> None:
        """These windows are charged."""
        update_rows(self._connection, WindowRow, [{"id": window, "state": "settled"} for window in windows])

    def _one(self, where: str, id_: object, now: datetime) -> Session | None:
        found = self._some(where, id_, now)
        return found[0] if found else None

    def _some(self, where: str, id_: object, now: datetime) -> list[Session]:
        rows: Any = self._connection.execute(
            text(f"{_SESSION} WHERE {where} ORDER BY l.id"), {"id": id_, "alive_since": alive_since(now)}
        )
        return [Session(*[*row[:-1], _measured(row.measured)]) for row in rows]


def _measured(kept: dict[str, Any] | None) -> Measured:
    """What a lease keeps of its measurements."""
    return Measured(Histogram(tuple(kept["histogram"])), kept["failures"]) if kept else Measured()
