"""Evidence about nodes, and the scores that it gives them. Failed attempts are recorded by `work_fail` itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, ItemId, ModelId, NodeId
from backend.domain.trust import Evidence, TrustEvent
from backend.storage.ids import first_id_at, new_id
from backend.storage.rows import insert_rows
from backend.storage.tables import TrustEventRow

COUNT_MAX = 2**31 - 1
CHOSEN_FROM_MAX = 10_000  # orders that canaries are chosen from
_MEAN = "to_timestamp(sum(count * extract(epoch FROM at)::float8) / sum(count))"


@dataclass(frozen=True, slots=True)
class Found:
    """Evidence as it is found: what a node did to an account, or in answer to the market's own canaries."""

    node_id: NodeId
    account_id: AccountId | None
    kind: Evidence
    count: int


@dataclass(frozen=True, slots=True)
class Canary:
    """An item that a node ran, with what it was asked and what it answered, as JSON."""

    item_id: ItemId
    node_id: NodeId
    model_id: ModelId
    inputs: bytes
    outputs: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """A node and the score that matching counts on."""

    node_id: NodeId
    account_id: AccountId
    name: str
    resource_class: str
    region: str
    trust_ppm: int


class TrustRepository:
    """Evidence and scores. Nobody's orders say anything about their own nodes: such evidence is not kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, found: Sequence[Found], now: datetime) -> int:
        """Keep evidence, whose time is `now`; returns how much of it there was."""
        if not found:
            return 0
        return self._connection.execute(
            text("""
                INSERT INTO trust_events (id, node_id, account_id, kind, count, at)
                SELECT v.id, v.node_id, v.account_id, v.kind, v.count, :now
                FROM unnest(CAST(:ids AS uuid[]), CAST(:nodes AS uuid[]), CAST(:accounts AS uuid[]),
                            CAST(:kinds AS text[]), CAST(:counts AS int[]))
                     AS v (id, node_id, account_id, kind, count)
                JOIN nodes n ON n.id = v.node_id WHERE v.account_id IS DISTINCT FROM n.account_id
            """),
            {
                "now": now,
                "ids": [new_id() for _ in found],
                "nodes": [f.node_id for f in found],
                "accounts": [f.account_id for f in found],
                "kinds": [f.kind for f in found],
                "counts": [f.count for f in found],
            },
        ).rowcount

    def canaries(self, since: datetime, seed: str, per_node: int, us_max: int, limit: int) -> list[Canary]:
        """A seeded choice of what each node ran and was paid for, of orders placed since then, by model.

        None that was checked before, none of a provider's own orders: whoever can choose the question knows it. And
        none of private ones, of which nobody here knows question or answer. Training has no answer to be known.
        """
        rows: Any = self._connection.execute(
            text(f"""
                WITH recent AS (
                    SELECT id, account_id, model_id FROM orders
                    WHERE id >= :first AND state = 'settled' AND NOT private AND workload <> 'training'
                    ORDER BY id DESC LIMIT {CHOSEN_FROM_MAX}
                ), lots AS (
                    SELECT i.id, l.node_id, o.model_id, md5(:seed || i.id) AS lot,
                           row_number() OVER (PARTITION BY l.node_id ORDER BY md5(:seed || i.id)) AS place
                    FROM recent o JOIN work_items i ON i.order_id = o.id
                    JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id
                    WHERE i.state = 'settled' AND i.us_max <= :us_max AND n.account_id <> o.account_id
                    AND NOT EXISTS (SELECT 1 FROM trust_events e WHERE e.id = i.id)
                ), drawn AS (
                    SELECT id, node_id, model_id FROM lots WHERE place <= :per_node ORDER BY place, lot LIMIT :limit
                )
                SELECT d.id, d.node_id, d.model_id, i.inputs, i.outputs FROM drawn d JOIN work_items i ON i.id = d.id
                ORDER BY d.model_id, d.id
            """),
            {"first": first_id_at(since), "seed": seed, "per_node": per_node, "us_max": us_max, "limit": limit},
        )
        return [Canary(*row) for row in rows]

    def record_canaries(self, verdicts: Sequence[tuple[Canary, bool]], now: datetime) -> int:
        """Keep whether answers were right; the evidence has the item's id, so that an item counts once at most."""
        rows = [
            {
                "id": canary.item_id,
                "node_id": canary.node_id,
                "account_id": None,
                "kind": Evidence.CANARY_PASSED if right else Evidence.CANARY_FAILED,
                "count": 1,
                "at": now,
            }
            for canary, right in verdicts
        ]
        return insert_rows(self._connection, TrustEventRow, rows, "ON CONFLICT (id) DO NOTHING")

    def found_since(self, moment: datetime, limit: int) -> list[NodeId]:
        """Nodes with evidence that was recorded at or after `moment`."""
        rows = self._connection.execute(
            text("SELECT DISTINCT node_id FROM trust_events WHERE id >= :first ORDER BY node_id LIMIT :limit"),
            {"first": first_id_at(moment), "limit": limit},
        )
        return [row.node_id for row in rows]

    def page(self, after: NodeId | None, limit: int) -> list[NodeId]:
        """The nodes that follow `after` in order of their ids; from the first one without it."""
        rows = self._connection.execute(
            text(
                "SELECT id FROM nodes WHERE CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)"
                " ORDER BY id LIMIT :limit"
            ),
            {"after": after, "limit": limit},
        )
        return [row.id for row in rows]

    def histories(
        self, nodes: Collection[NodeId], since: datetime, unit: str = "hour"
    ) -> dict[NodeId, list[TrustEvent]]:
        """Each node's evidence after `since`, that of an hour or a day together at its mean time."""
        rows = self._connection.execute(
            text(f"""
                SELECT node_id, account_id, kind, sum(count)::bigint AS count, {_MEAN} AS at FROM trust_events
                WHERE node_id = ANY(:nodes) AND at > :since
                GROUP BY node_id, account_id, kind, date_trunc(:unit, at, 'UTC') ORDER BY node_id, 5
            """),
            {"nodes": list(nodes), "since": since, "unit": unit},
        )
        histories: dict[NodeId, list[TrustEvent]] = {node: [] for node in nodes}
        for node, account, kind, count, at in rows:
            histories[node].append(TrustEvent(Evidence(kind), account, count, at))
        return histories

    def write_scores(self, scores: Mapping[NodeId, int]) -> int:
        """Set the scores of nodes, whose rows it locks in id order; returns how many were others before."""
        return self._connection.execute(
            text("""
                WITH changed AS (
                    SELECT n.id, v.ppm FROM nodes n
                    JOIN unnest(CAST(:nodes AS uuid[]), CAST(:scores AS int[])) AS v (id, ppm) ON v.id = n.id
                    WHERE n.trust_ppm <> v.ppm ORDER BY n.id FOR NO KEY UPDATE OF n
                )
                UPDATE nodes n SET trust_ppm = changed.ppm FROM changed WHERE n.id = changed.id
            """),
            {"nodes": list(scores), "scores": list(scores.values())},
        ).rowcount

    def merge(self, unit: str, first: datetime, end: datetime, limit: int) -> int:
        """Make one row, at its mean time, of evidence that is alike in all but the moment within an hour or a day.

        Looks at what was recorded from `first` until before `end`, canaries excepted, each of which is about an item;
        returns how many rows grew.
        """
        return self._connection.execute(
            text(f"""
                WITH crowded AS (
                    SELECT node_id, account_id, kind, date_trunc(:unit, at, 'UTC') AS span FROM trust_events
                    WHERE id >= :first AND id < :end AND account_id IS NOT NULL GROUP BY 1, 2, 3, 4
                    HAVING count(*) > 1 AND sum(count) <= {COUNT_MAX} LIMIT :limit
                ), picked AS (
                    SELECT e.* FROM trust_events e JOIN crowded c
                      ON e.node_id = c.node_id AND e.account_id = c.account_id
                     AND e.kind = c.kind AND date_trunc(:unit, e.at, 'UTC') = c.span
                    WHERE e.id >= :first AND e.id < :end ORDER BY e.id FOR UPDATE OF e
                ), merged AS (
                    SELECT array_agg(id ORDER BY id) AS ids, sum(count)::int AS count, {_MEAN} AS at FROM picked
                    GROUP BY node_id, account_id, kind, date_trunc(:unit, at, 'UTC') HAVING count(*) > 1
                ), gone AS (
                    DELETE FROM trust_events WHERE id IN (SELECT unnest(ids[2:]) FROM merged)
                )
                UPDATE trust_events e SET count = m.count, at = m.at FROM merged m WHERE e.id = m.ids[1]
            """),
            {"unit": unit, "first": first_id_at(first), "end": first_id_at(end), "limit": limit},
        ).rowcount

    def forget_before(self, moment: datetime, limit: int) -> int:
        """Delete evidence that was recorded before `moment`."""
        return self._connection.execute(
            text(
                "DELETE FROM trust_events WHERE id IN"
                " (SELECT id FROM trust_events WHERE id < :end ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)"
            ),
            {"end": first_id_at(moment), "limit": limit},
        ).rowcount

    def standing(self, node_id: NodeId) -> Standing | None:
        """The node of that id and its score."""
        return next(iter(self._standings("WHERE id = :node", {"node": node_id})), None)

    def standings(self, account: AccountId | None) -> list[Standing]:
        """The nodes of an account, or all, the most trusted first."""
        where = "WHERE account_id = :account" if account else ""
        return self._standings(f"{where} ORDER BY trust_ppm DESC, name, id", {"account": account} if account else {})

    def _standings(self, rest: str, binds: Mapping[str, object]) -> list[Standing]:
        rows = self._connection.execute(
            text(f"SELECT id, account_id, name, resource_class, region, trust_ppm FROM nodes {rest}"), binds
        )
        return [Standing(*row) for row in rows]
