"""Figures of the whole market for its metrics: aggregates only, nothing of any one account."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.storage.ids import made_ms
from backend.storage.nodes import ALIVE, alive_since


@dataclass(frozen=True, slots=True)
class Money:
    """What all ledger accounts of a kind have together, in nano-credits."""

    kind: str
    accounts: int
    posted_nano: int
    reserved_nano: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for something: holds to be resolved, usage for money, disputes and payouts for an admin."""

    holds: int
    holds_nano: int
    holds_oldest_expiry: datetime | None
    usage_unpaid: int
    usage_unpaid_nano: int
    disputes_open: int
    payouts_requested: int
    payouts_approved: int
    payouts_nano: int


@dataclass(frozen=True, slots=True)
class Count:
    """One figure of what goes on: of which kind, of what, and how many (or, of an age, how many milliseconds)."""

    figure: str
    label: str
    value: int


_MONEY = text("""
    SELECT kind, count(*) AS accounts, sum(posted_nano) AS posted, sum(reserved_nano) AS reserved
    FROM ledger_accounts GROUP BY kind ORDER BY kind
""")
# Each by an index of its own on what waits only, but for payouts, which are few.
_WAITING = text("""
    SELECT h.*, u.*, d.*, p.* FROM (
        SELECT count(*) AS holds, coalesce(sum(amount_nano - captured_nano - released_nano), 0) AS holds_nano,
               min(expires_at) AS holds_oldest_expiry
        FROM holds WHERE state = 'pending'
    ) h, (
        SELECT count(*) AS usage_unpaid, coalesce(sum(amount_nano), 0) AS usage_unpaid_nano
        FROM usage_events WHERE state = 'unpaid'
    ) u, (
        SELECT count(*) AS disputes_open FROM disputes WHERE state = 'open'
    ) d, (
        SELECT count(*) FILTER (WHERE state = 'requested') AS payouts_requested,
               count(*) FILTER (WHERE state = 'approved') AS payouts_approved,
               coalesce(sum(amount_nano), 0) AS payouts_nano
        FROM payouts WHERE state IN ('requested', 'approved')
    ) p
""")


# Each by a partial index on what goes on, or of a small table.
_GOING_ON = text(f"""
    SELECT 'orders' AS figure, state AS label, count(*) AS value FROM orders
    WHERE state IN ('open', 'running', 'closing') GROUP BY state
    UNION ALL SELECT 'items', state, count(*) FROM work_items
    WHERE state IN ('waiting', 'queued', 'running', 'reported', 'committed', 'dead') GROUP BY state
    UNION ALL (SELECT 'age_ms', 'waiting', CAST(:now_ms AS bigint) - {made_ms("order_id")} FROM work_items
               WHERE state = 'waiting' ORDER BY order_id LIMIT 1)
    UNION ALL (SELECT 'age_ms', 'queued', CAST(:now_ms AS bigint) - {made_ms("unit_id")} FROM work_items
               WHERE state = 'queued' ORDER BY unit_id LIMIT 1)
    UNION ALL (SELECT 'age_ms', 'owed', CAST(:now_ms AS bigint) - {made_ms("id")} FROM outbox
               WHERE sent_at IS NULL ORDER BY id LIMIT 1)
    UNION ALL SELECT 'owed', '', count(*) FROM outbox WHERE sent_at IS NULL
    UNION ALL SELECT 'leases', o.tier, count(*) FROM leases l JOIN orders o ON o.id = l.order_id
    WHERE l.state = 'active' GROUP BY o.tier
    UNION ALL SELECT 'leased_slots', o.tier, sum(l.slots) FROM leases l JOIN orders o ON o.id = l.order_id
    WHERE l.state = 'active' GROUP BY o.tier
    UNION ALL SELECT 'agents', kind, count(*) FROM agents WHERE state = 'up' AND beat_at > :alive_since GROUP BY kind
    UNION ALL SELECT 'nodes_alive', n.resource_class, count(*) FROM nodes n WHERE {ALIVE} GROUP BY n.resource_class
    UNION ALL SELECT 'nodes', resource_class, count(*) FROM nodes GROUP BY resource_class
    UNION ALL SELECT 'slots', resource_class, sum(slots) FROM nodes GROUP BY resource_class
    UNION ALL SELECT 'slots_busy', resource_class, sum(busy_slots) FROM nodes GROUP BY resource_class
""")


class FigureRepository:
    """Three statements for all of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def money(self) -> list[Money]:
        """By kind of account."""
        rows: Any = self._connection.execute(_MONEY)
        return [Money(row.kind, row.accounts, int(row.posted), int(row.reserved)) for row in rows]

    def going_on(self, now: datetime) -> list[Count]:
        """Orders, items, messages, leases, agents and nodes: what there is none of is left out."""
        rows: Any = self._connection.execute(
            _GOING_ON, {"now_ms": int(now.timestamp() * 1_000), "alive_since": alive_since(now)}
        )
        return [Count(row.figure, row.label, int(row.value)) for row in rows]

    def waiting(self) -> Waiting:
        """As it is now."""
        row: Any = self._connection.execute(_WAITING).one()
        return Waiting(
            row.holds,
            int(row.holds_nano),
            row.holds_oldest_expiry,
            row.usage_unpaid,
            int(row.usage_unpaid_nano),
            row.disputes_open,
            row.payouts_requested,
            row.payouts_approved,
            int(row.payouts_nano),
        )
