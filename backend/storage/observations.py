"""What incidents are found in: the market as it is now, one bounded statement for each thing that is looked at."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.fleet import AgentKind, AgentState
from backend.domain.incident_rules import FUNDS_HOLDS_PERCENT, LOOP_S
from backend.domain.observations import AgentSeen, FundsSeen, NodeSeen, QueueSeen
from backend.storage.ids import first_id_at, made_ms
from backend.storage.nodes import NOT_LEFT, alive_since

SEEN_MAX = 1_000  # of each
LOST_LATELY = timedelta(seconds=30)
ALERTS_SINCE = timedelta(days=32)  # longer than any budget's period
_AGE_S = "extract(epoch FROM CAST(:now AS timestamptz) - {})::float8"

_AGENTS = text(f"""
    SELECT DISTINCT ON (name) name, kind, state, {_AGE_S.format("beat_at")}, {_AGE_S.format("started_at")},
           count(*) FILTER (WHERE state = 'lost' AND beat_at > :since) OVER (PARTITION BY name)
    FROM agents ORDER BY name, started_at DESC, id DESC LIMIT :limit
""")
_QUEUES = text(f"""
    SELECT u.queue, count(*),
           (extract(epoch FROM CAST(:now AS timestamptz)) - {made_ms("min(u.id::text)")} / 1000.0)::float8
    FROM work_items i JOIN units u ON u.id = i.unit_id WHERE i.state = 'queued' GROUP BY u.queue LIMIT :limit
""")
# Candidates are those that went over a threshold, which is told once in each period; then what is so now counts.
_FUNDS = text("""
    WITH told AS MATERIALIZED (
        SELECT DISTINCT kind, subject_id, account_id, since FROM alerts WHERE id >= :told_since
        AND percent >= :percent
    )
    SELECT 'budget', b.id, t.account_id, u.used_nano, b.limit_nano
    FROM told t JOIN budgets b ON b.id = t.subject_id AND b.ended_at IS NULL
    JOIN budget_uses u ON u.budget_id = b.id AND u.account_id = t.account_id AND u.since = t.since
    WHERE t.kind = 'budget' AND b.period IN ('day', 'month')
    AND t.since = date_trunc(b.period, CAST(:now AS timestamptz), b.timezone)
    UNION ALL
    SELECT 'wallet', t.subject_id, t.account_id, w.baseline_nano - a.posted_nano + a.reserved_nano, w.baseline_nano
    FROM told t JOIN wallet_baselines w ON w.account_id = t.account_id AND w.since = t.since
    JOIN ledger_accounts a ON a.owner_id = t.account_id AND a.kind = 'wallet'
    WHERE t.kind = 'wallet' LIMIT :limit
""")
_NODES = text(f"""
    SELECT n.id, n.name, coalesce(l.leases, 0), coalesce(e.lost, 0)::int
    FROM nodes n LEFT JOIN (
        SELECT node_id, count(*) AS leases FROM leases WHERE state = 'active' GROUP BY node_id
    ) l ON l.node_id = n.id LEFT JOIN (
        SELECT node_id, sum(count) AS lost FROM trust_events WHERE id >= :lately AND kind = 'lost' GROUP BY node_id
    ) e ON e.node_id = n.id
    WHERE (l.leases > 0 OR n.state = 'active' AND (e.lost > 0 OR n.id = ANY(:known))) AND NOT {NOT_LEFT}
    LIMIT :limit
""")


class ObservationRepository:
    """Reads only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def agents(self, now: datetime) -> list[AgentSeen]:
        """The youngest agent of each name, of the last day."""
        rows = self._read(_AGENTS, now=now, since=now - timedelta(seconds=LOOP_S))
        return [AgentSeen(name, AgentKind(kind), AgentState(state), *rest) for name, kind, state, *rest in rows]

    def queues(self, now: datetime) -> list[QueueSeen]:
        """Queues with items that wait to be claimed."""
        return [QueueSeen(*row) for row in self._read(_QUEUES, now=now)]

    def funds(self, now: datetime) -> list[FundsSeen]:
        """Budgets and wallets of which much is used now."""
        told_since = first_id_at(now - ALERTS_SINCE)
        return [
            FundsSeen(*row) for row in self._read(_FUNDS, now=now, told_since=told_since, percent=FUNDS_HOLDS_PERCENT)
        ]

    def nodes(self, now: datetime, known: Collection[UUID]) -> list[NodeSeen]:
        """Nodes that no living agent serves, with leases or orders lost lately, and those `known` to have been so."""
        rows = self._read(
            _NODES, alive_since=alive_since(now), lately=first_id_at(now - LOST_LATELY), known=list(known)
        )
        return [NodeSeen(*row) for row in rows]

    def _read(self, statement: Any, **binds: object) -> Any:
        return self._connection.execute(statement, {"limit": SEEN_MAX, **binds})
