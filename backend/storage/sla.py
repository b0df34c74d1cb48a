"""SLA windows, and the service that goes into them: read from work items and transfers, counted once per order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, NodeId, OrderId, SlaWindowId, WindowId
from backend.domain.sla import Histogram, Measured, SlaState, SlaWindow
from backend.domain.tiers import TierName
from backend.storage.ids import new_id
from backend.storage.rows import insert_records, insert_rows, update_rows, values_of
from backend.storage.tables import OrderRow, SlaSessionShareRow, SlaShareRow, SlaWindowRow


@dataclass(frozen=True, slots=True, order=True)
class Between:
    """Whose window it is: of open ones there is one at most."""

    account_id: AccountId
    provider_id: AccountId
    tier: TierName


@dataclass(frozen=True, slots=True)
class Service:
    """What a provider did for an order, and what it got for that in nano-credits; amounts of its fee are not in it."""

    between: Between
    order_id: OrderId
    measured: Measured
    charged_nano: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What a window holds of an order's charge and earnings, in nano-credits."""

    window_id: SlaWindowId
    order_id: OrderId
    charged_nano: int
    withheld_nano: int


@dataclass(frozen=True, slots=True)
class SessionShare:
    """The same of a session's prepaid window."""

    window_id: SlaWindowId
    session_window_id: WindowId
    charged_nano: int
    withheld_nano: int


_COLUMNS = """
    id, account_id, provider_id, tier, state, opened_at, failures, histogram, charged_nano, withheld_nano, closed_at,
    latency_ms_p95, uptime_ppm, credit_ppm, credit_nano
"""
_KEY = "account_id, provider_id, tier"  # the order in which windows are locked
# Charges that stand: those that were reversed, whole or to be replaced by smaller ones, do not.
_STANDING = """
    transfers t JOIN ledger_accounts a ON a.id = t.credit_id
    WHERE t.kind = 'charge' AND NOT EXISTS (
        SELECT 1 FROM transfers r WHERE r.original_id = t.id AND r.kind = 'reversal')
"""
_SERVED = text(f"""
    WITH served AS (
        SELECT i.order_id, n.account_id AS provider_id, count(*) FILTER (WHERE i.state = 'dead') AS failures,
               array_agg(CAST(greatest(0, ceil(extract(epoch FROM i.committed_at - o.placed_at) * 1000)) AS bigint))
                   FILTER (WHERE i.state = 'settled') AS latencies_ms
        FROM work_items i JOIN orders o ON o.id = i.order_id
        JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id
        WHERE i.order_id = ANY(:orders) AND i.state IN ('settled', 'dead') GROUP BY 1, 2
    ), paid AS (
        SELECT t.order_id, a.owner_id AS provider_id, sum(t.amount_nano) AS nano
        FROM {_STANDING} AND t.order_id = ANY(:orders) GROUP BY 1, 2
    )
    SELECT s.order_id, s.provider_id, s.failures, s.latencies_ms, o.account_id, o.tier,
           CAST(coalesce(p.nano, 0) AS bigint) AS charged_nano
    FROM served s JOIN orders o ON o.id = s.order_id
    LEFT JOIN paid p ON p.order_id = s.order_id AND p.provider_id = s.provider_id ORDER BY 1, 2
""")
# A session's windows are charged one by one, each from a hold of its own; a charge in a reversed one's place has none,
# and is found by what it replaces.
_STANDING_OF_WINDOWS = text(f"""
    WITH RECURSIVE paid AS (
        SELECT s.window_id, s.session_window_id, s.charged_nano, t.id, t.amount_nano
        FROM sla_session_shares s JOIN windows p ON p.id = s.session_window_id
        JOIN transfers t ON t.hold_id = p.hold_id AND t.kind = 'charge'
        WHERE s.window_id = ANY(:windows)
        UNION ALL
        SELECT p.window_id, p.session_window_id, p.charged_nano, t.id, t.amount_nano
        FROM paid p JOIN transfers t ON t.original_id = p.id AND t.kind = 'charge'
    ), standing AS (
        SELECT s.window_id, least(s.charged_nano, paid.nano) AS nano
        FROM sla_shares s JOIN sla_windows w ON w.id = s.window_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.amount_nano), 0) AS nano
            FROM {_STANDING} AND t.order_id = s.order_id AND a.owner_id = w.provider_id
        ) paid
        WHERE s.window_id = ANY(:windows)
        UNION ALL
        SELECT p.window_id, least(p.charged_nano, sum(p.amount_nano)) FROM paid p
        WHERE NOT EXISTS (SELECT 1 FROM transfers r WHERE r.original_id = p.id AND r.kind = 'reversal')
        GROUP BY p.window_id, p.session_window_id, p.charged_nano
    )
    SELECT window_id, CAST(sum(nano) AS bigint) AS nano FROM standing GROUP BY window_id
""")


class SlaRepository:
    """Windows. Whoever changes one locks the money of its provider first, if it changes any, and the windows last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_uncounted(self, limit: int) -> list[OrderId]:
        """Orders with an SLA that have ended and whose service is in no window yet, locked until the end."""
        rows = self._connection.execute(
            text(
                "SELECT id FROM orders WHERE sla AND sla_counted_at IS NULL AND closed_at IS NOT NULL"
                " ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED"
            ),
            {"limit": limit},
        )
        return [row.id for row in rows]

    def mark_counted(self, orders: Collection[OrderId], now: datetime) -> None:
        """The service of these orders is in windows."""
        update_rows(self._connection, OrderRow, [{"id": order, "sla_counted_at": now} for order in orders])

    def served(self, orders: Collection[OrderId]) -> list[Service]:
        """What was done for these orders: items that were settled, from the order's placement on, and items that died.

        An item without a lease is nobody's, and counts nowhere.
        """
        rows: Any = self._connection.execute(_SERVED, {"orders": list(orders)})
        return [
            Service(
                _between(row),
                row.order_id,
                Measured(Histogram.of(row.latencies_ms or ()), row.failures),
                row.charged_nano,
            )
            for row in rows
        ]

    def under_way(self, orders: Collection[OrderId], nodes: Collection[NodeId]) -> list[Service]:
        """Items that wait or run on these nodes, of those orders that have an SLA: as failures, locked until the end.

        To be asked before they are taken back, while it can still be told whose they were.
        """
        rows: Any = self._connection.execute(
            text("""
                SELECT order_id, account_id, provider_id, tier, count(*) AS failures FROM (
                    SELECT i.order_id, o.account_id, n.account_id AS provider_id, o.tier
                    FROM work_items i JOIN orders o ON o.id = i.order_id
                    JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id
                    WHERE i.order_id = ANY(:orders) AND o.sla AND i.state IN ('queued', 'running')
                    AND l.node_id = ANY(:nodes) ORDER BY i.id FOR UPDATE OF i
                ) items GROUP BY 1, 2, 3, 4 ORDER BY 1, 3
            """),
            {"orders": list(orders), "nodes": list(nodes)},
        )
        return [Service(_between(row), row.order_id, Measured(failures=row.failures)) for row in rows]

    def lock_current(self, parties: Collection[Between], now: datetime) -> dict[Between, SlaWindow]:
        """The open windows of these, opened now where there was none, locked until the transaction ends.

        Not `DO NOTHING`: that does not wait for somebody who is closing a window just now.
        """
        keys = sorted(parties)
        empty = list(Histogram().counts)
        insert_rows(
            self._connection,
            SlaWindowRow,
            [values_of(key) | {"id": new_id(), "state": "open", "opened_at": now, "histogram": empty} for key in keys],
            conflict=f"ON CONFLICT ({_KEY}) WHERE state = 'open' DO UPDATE SET requests = sla_windows.requests",
        )
        found = self._select(
            f"SELECT {_COLUMNS} FROM sla_windows WHERE state = 'open' AND ({_KEY}) IN"
            " (SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:providers AS uuid[]), CAST(:tiers AS text[])))"
            f" ORDER BY {_KEY} FOR UPDATE",
            {
                "accounts": [key.account_id for key in keys],
                "providers": [key.provider_id for key in keys],
                "tiers": [str(key.tier) for key in keys],
            },
        )
        return {Between(window.account_id, window.provider_id, window.tier): window for window in found}

    def due(self, opened_until: datetime, requests: int, limit: int) -> list[SlaWindow]:
        """Open windows that were opened by then, or have counted so many requests; not locked."""
        return self._select(
            f"SELECT {_COLUMNS} FROM sla_windows WHERE state = 'open'"
            " AND (opened_at <= :opened_until OR requests >= :requests) ORDER BY id LIMIT :limit",
            {"opened_until": opened_until, "requests": requests, "limit": limit},
        )

    def lock_open(self, ids: Collection[SlaWindowId]) -> list[SlaWindow]:
        """Those of the windows that are still open, locked until the transaction ends."""
        return self._select(
            f"SELECT {_COLUMNS} FROM sla_windows WHERE id = ANY(:ids) AND state = 'open' ORDER BY {_KEY} FOR UPDATE",
            {"ids": list(ids)},
        )

    def standing_nano(self, windows: Collection[SlaWindowId]) -> dict[SlaWindowId, int]:
        """What of the charges in these windows was not reversed since, in nano-credits and never above the share."""
        rows = self._connection.execute(_STANDING_OF_WINDOWS, {"windows": list(windows)})
        return {row.window_id: row.nano for row in rows}

    def write(self, windows: Iterable[SlaWindow]) -> None:
        """Record windows as they are now."""
        update_rows(self._connection, SlaWindowRow, [_values(window) for window in windows])

    def add_shares(self, shares: Sequence[Share]) -> None:
        """Record which orders a window holds earnings of."""
        insert_records(self._connection, SlaShareRow, shares)

    def add_session_shares(self, shares: Sequence[SessionShare]) -> None:
        """Record which prepaid windows of sessions a window holds earnings of; one is in one window, once."""
        insert_records(self._connection, SlaSessionShareRow, shares)

    def find(self, window_id: SlaWindowId) -> SlaWindow | None:
        """The window of that id."""
        found = self._select(f"SELECT {_COLUMNS} FROM sla_windows WHERE id = :id", {"id": window_id})
        return found[0] if found else None

    def newest(
        self, account: AccountId | None, state: SlaState | None, limit: int, before: SlaWindowId | None
    ) -> list[SlaWindow]:
        """The newest windows that an account bought or served (None: of everybody), older than `before`."""
        return self._select(
            f"SELECT {_COLUMNS} FROM sla_windows"
            " WHERE (CAST(:account AS uuid) IS NULL OR account_id = :account OR provider_id = :account)"
            " AND (CAST(:state AS text) IS NULL OR state = :state)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {"account": account, "state": state, "before": before, "limit": limit},
        )

    def _select(self, statement: str, binds: dict[str, Any]) -> list[SlaWindow]:
        return [_window(row) for row in self._connection.execute(text(statement), binds)]


def _between(row: Any) -> Between:
    return Between(row.account_id, row.provider_id, TierName(row.tier))


def _window(row: Any) -> SlaWindow:
    values = dict(row._mapping)
    measured = Measured(Histogram(tuple(values.pop("histogram"))), values.pop("failures"))
    return SlaWindow(
        **values | {"tier": TierName(row.tier), "state": SlaState(row.state), "measured": measured},
    )


def _values(window: SlaWindow) -> dict[str, Any]:
    values = values_of(window)
    measured: Measured = values.pop("measured")
    kept = ("id", "charged_nano", "withheld_nano", "closed_at", "latency_ms_p95", "uptime_ppm", "credit_ppm")
    return {name: values[name] for name in kept} | {
        "state": str(window.state),
        "credit_nano": window.credit_nano,
        "requests": measured.requests,
        "failures": measured.failures,
        "histogram": list(measured.latencies.counts),
    }
