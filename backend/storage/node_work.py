"""Work of remote nodes: what the role of the operator's own nodes does by functions, each bound to one node here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import AgentId, ItemId, NodeId, UnitId
from backend.domain.joining import CLAIM_BYTES_MAX, CLAIM_ITEMS_MAX, REMOTE_AGENT
from backend.domain.tensors import Signature
from backend.domain.work import CLAIM_S, AgentBeat, ClaimedItem, Dispatch, ItemFailure, ItemResult, ModelRef
from backend.storage.nodes import alive_since
from backend.storage.rows import insert_rows
from backend.storage.tables import RemoteUnitRow

_LATEST = "ON CONFLICT (unit_id) DO UPDATE SET queue = excluded.queue, priority = excluded.priority"


@dataclass(frozen=True, slots=True)
class Report:
    """What a node reported of an item that it ran, and the time for which it had the item; microseconds."""

    reported_us: int
    observed_us: int


@dataclass(frozen=True, slots=True)
class Holding:
    """How an item of a node stands: who has it by which fence, and its inputs if it is a training item."""

    agent_id: AgentId | None
    fence: int
    is_running: bool
    task: bytes | None

    def is_held(self, agent_id: AgentId, fence: int) -> bool:
        """Whether it is in the hands of this agent, by this claim."""
        return self.is_running and (self.agent_id, self.fence) == (agent_id, fence)


class NodeWorkRepository:
    """Every method that takes an agent acts only if it is one of the queue's own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, beat: AgentBeat, queue: str, now: datetime) -> str | None:
        """Record a sign of life; the agent's state, or None if the id is another's. It cannot be dialled.

        Its name says that it is remote: the fleet's own agents are known to the manager by their names.
        """
        return self._connection.execute(
            text("""
                INSERT INTO agents (id, kind, name, host, pid, queue, state, started_at, beat_at, work_done,
                                    work_waiting, tick_age_ms)
                VALUES (:id, 'inference', :name, :host, :pid, :queue, 'up', :now, :now, :done, :waiting, :tick_age_ms)
                ON CONFLICT (id) DO UPDATE SET beat_at = :now, work_done = :done, work_waiting = :waiting,
                    tick_age_ms = :tick_age_ms WHERE agents.queue = :queue RETURNING state
            """),
            {
                "id": beat.agent_id,
                "name": f"{REMOTE_AGENT}{beat.name}",
                "done": beat.work_done,
                "waiting": beat.work_waiting,
                "tick_age_ms": beat.tick_age_ms,
                "host": beat.host,
                "pid": beat.pid,
                "queue": queue,
                "now": now,
            },
        ).scalar_one_or_none()

    def forget_gone(self, queue: str, keep: AgentId, now: datetime) -> None:
        """Delete what is left of the queue's agents that have ended or fallen silent, but for one."""
        self._connection.execute(
            text(
                "DELETE FROM agents WHERE queue = :queue AND id <> :keep AND (state = 'stopped' OR beat_at <= :since)"
            ),
            {"queue": queue, "keep": keep, "since": alive_since(now)},
        )

    def agents(self, queue: str) -> set[AgentId]:
        """The agents of a queue."""
        rows = self._connection.execute(text("SELECT id FROM agents WHERE queue = :queue"), {"queue": queue})
        return {AgentId(row.id) for row in rows}

    def stop(self, agent_id: AgentId, queue: str, now: datetime) -> bool:
        """The agent says goodbye; False if it is not the queue's."""
        stopped = self._connection.execute(
            text("UPDATE agents SET state = 'stopped', beat_at = :now WHERE id = :id AND queue = :queue"),
            {"id": agent_id, "queue": queue, "now": now},
        )
        return stopped.rowcount > 0

    def post(self, dispatches: Sequence[Dispatch]) -> None:
        """Let units wait to be polled for; one that waits already does so once, where it was sent last."""
        rows = [{"unit_id": d.unit_id, "queue": d.queue, "priority": d.priority} for d in dispatches]
        insert_rows(self._connection, RemoteUnitRow, rows, _LATEST)

    def waited_for(self, queues: Collection[str]) -> set[str]:
        """Those of these queues that have something to claim."""
        rows = self._connection.execute(
            text(
                "SELECT q.queue FROM unnest(CAST(:queues AS text[])) AS q (queue) WHERE EXISTS ("
                " SELECT 1 FROM remote_units r JOIN units u ON u.id = r.unit_id AND u.queue = r.queue"
                " JOIN work_items i ON i.unit_id = r.unit_id AND i.state = 'queued' WHERE r.queue = q.queue)"
            ),
            {"queues": list(queues)},
        )
        return {row.queue for row in rows}

    def units(self, queue: str, limit: int) -> list[UnitId]:
        """Units of a queue with something to claim, the most urgent and oldest first."""
        rows = self._connection.execute(
            text(
                "SELECT r.unit_id FROM remote_units r JOIN units u ON u.id = r.unit_id AND u.queue = r.queue"
                " WHERE r.queue = :queue AND EXISTS ("
                " SELECT 1 FROM work_items i WHERE i.unit_id = r.unit_id AND i.state = 'queued')"
                " ORDER BY r.priority, r.unit_id LIMIT :limit"
            ),
            {"queue": queue, "limit": limit},
        )
        return [row.unit_id for row in rows]

    def forget_done(self, queue: str) -> None:
        """Delete the queue's units that nothing is left of."""
        self._connection.execute(
            text(
                "DELETE FROM remote_units r WHERE r.queue = :queue AND NOT EXISTS ("
                " SELECT 1 FROM work_items i WHERE i.unit_id = r.unit_id AND i.state IN ('queued', 'running'))"
            ),
            {"queue": queue},
        )

    def claim(self, node_id: NodeId, queue: str, agent_id: AgentId, unit_id: UnitId) -> list[ClaimedItem]:
        """Take what is left of a unit, as much as one message carries, and again what this agent has of it already.

        So a claim whose answer was lost may be repeated. Like `work_claim`: the clock is the database's.
        """
        rows = self._connection.execute(
            text("""
                WITH open AS (
                    SELECT i.id, i.state, octet_length(i.inputs) AS bytes FROM work_items i
                    JOIN units u ON u.id = i.unit_id AND u.queue = :queue
                    JOIN leases l ON l.id = i.lease_id AND l.state = 'active' AND l.node_id = :node
                    JOIN agents a ON a.id = :agent AND a.queue = u.queue AND a.state IN ('up', 'draining')
                    WHERE i.unit_id = :unit AND (i.state = 'queued' OR (i.state = 'running' AND i.agent_id = :agent))
                    AND (SELECT NOT p.private OR is_sealed_for(p.id, l.node_id) FROM orders p WHERE p.id = i.order_id)
                    ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
                ), carried AS (
                    SELECT id, state, row_number() OVER (ORDER BY id) AS place,
                           sum(bytes) OVER (ORDER BY id) AS so_far FROM open
                ), claimed AS (
                    UPDATE work_items i
                    SET state = 'running', agent_id = :agent,
                        attempt = i.attempt + (c.state = 'queued')::int, fence = i.fence + (c.state = 'queued')::int,
                        claimed_at = CASE c.state WHEN 'queued' THEN clock_timestamp() ELSE i.claimed_at END,
                        claimed_until = clock_timestamp() + CAST(:claim_s AS float8) * interval '1 s'
                    FROM carried c
                    WHERE i.id = c.id AND c.place <= :items_max AND (c.place = 1 OR c.so_far <= :bytes_max)
                    RETURNING i.id, i.fence, i.attempt, i.lease_id, i.rows, i.inputs, i.order_id
                )
                SELECT c.id AS item_id, c.fence, c.attempt, l.node_id, c.rows, c.inputs, m.id AS model_id, m.name,
                       m.version, m.checksum, m.uri, m.signature
                FROM claimed c JOIN leases l ON l.id = c.lease_id JOIN orders o ON o.id = c.order_id
                JOIN models m ON m.id = o.model_id ORDER BY c.id
            """),
            {
                "node": node_id,
                "queue": queue,
                "agent": agent_id,
                "unit": unit_id,
                "items_max": CLAIM_ITEMS_MAX,
                "bytes_max": CLAIM_BYTES_MAX,
                "claim_s": CLAIM_S,
            },
        ).all()
        models: dict[UUID, ModelRef] = {}
        for row in rows:
            if row.model_id not in models:
                signature = Signature.from_wire(row.signature)
                models[row.model_id] = ModelRef(row.model_id, row.name, row.version, row.checksum, row.uri, signature)
        return [
            ClaimedItem(row.item_id, row.fence, row.attempt, row.node_id, row.rows, row.inputs, models[row.model_id])
            for row in rows
        ]

    def extend(self, agent_id: AgentId, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Prolong claims (item, fence); returns the items that are still the agent's."""
        return self._items(
            "work_beat(:agent, CAST(:items AS uuid[]), CAST(:fences AS bigint[]))",
            agent=agent_id,
            items=[item for item, _ in held],
            fences=[fence for _, fence in held],
        )

    def commit(self, agent_id: AgentId, results: Sequence[ItemResult]) -> set[ItemId]:
        """Hand in results; returns those that counted: a stale fence is void."""
        return self._items(
            "work_commit(:agent, CAST(:items AS uuid[]), CAST(:fences AS bigint[]), CAST(:busy AS bigint[]),"
            " CAST(:outputs AS bytea[]))",
            agent=agent_id,
            items=[r.item_id for r in results],
            fences=[r.fence for r in results],
            busy=[r.busy_us for r in results],
            outputs=[r.outputs for r in results],
        )

    def holding(self, item_id: ItemId, node_id: NodeId) -> Holding | None:
        """How an item stands; None if it is not leased to this node."""
        row = self._connection.execute(
            text("""
                SELECT i.agent_id, i.fence, i.state = 'running' AS is_running,
                       CASE WHEN i.judged THEN i.inputs END AS task
                FROM work_items i JOIN leases l ON l.id = i.lease_id AND l.node_id = :node WHERE i.id = :item
            """),
            {"item": item_id, "node": node_id},
        ).one_or_none()
        return None if row is None else Holding(row.agent_id, row.fence, row.is_running, row.task)

    def training_among(self, items: Collection[ItemId]) -> set[ItemId]:
        """Those of these items that are a participant's part in a training round."""
        rows = self._connection.execute(
            text("SELECT id FROM work_items WHERE id = ANY(:ids) AND judged"), {"ids": list(items)}
        )
        return set(rows.scalars())

    def traces_of(self, items: Collection[ItemId], limit: int) -> list[str]:
        """The `traceparent`s of the orders that these items are of, those that have one."""
        found = self._connection.execute(
            text("""
                SELECT DISTINCT o.traceparent FROM work_items i JOIN orders o ON o.id = i.order_id
                WHERE i.id = ANY(:items) AND o.traceparent IS NOT NULL LIMIT :limit
            """),
            {"items": list(items), "limit": limit},
        )
        return [str(row.traceparent) for row in found]

    def fail(self, agent_id: AgentId, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Report items that could not be run; they are tried again, or dead after too many attempts."""
        return self._items(
            "work_fail(:agent, CAST(:items AS uuid[]), CAST(:fences AS bigint[]), CAST(:errors AS text[]))",
            agent=agent_id,
            items=[f.item_id for f in failures],
            fences=[f.fence for f in failures],
            errors=[f.error for f in failures],
        )

    def release(self, agent_id: AgentId, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run, which is no attempt and speaks against nobody; those that counted."""
        return self._items(
            "work_release(:agent, CAST(:items AS uuid[]), CAST(:fences AS bigint[]))",
            agent=agent_id,
            items=[item for item, _ in held],
            fences=[fence for _, fence in held],
        )

    def reports(self, items: Collection[ItemId]) -> list[Report]:
        """What was reported of these committed items, and for how long the node had them."""
        rows: Any = self._connection.execute(
            text(
                "SELECT reported_us, (extract(epoch FROM committed_at - claimed_at) * 1000000)::bigint"
                " FROM work_items WHERE id = ANY(:items) AND committed_at IS NOT NULL"
            ),
            {"items": list(items)},
        )
        return [Report(*row) for row in rows]

    def overstate(self, node_id: NodeId, day: date, items: int) -> int:
        """Count overstated reports of a node; returns how many it made that day by now."""
        return int(
            self._connection.execute(
                text(
                    "INSERT INTO overstated_reports (node_id, day, items) VALUES (:node, :day, :items)"
                    " ON CONFLICT (node_id, day) DO UPDATE SET items = overstated_reports.items + excluded.items"
                    " RETURNING items"
                ),
                {"node": node_id, "day": day, "items": items},
            ).scalar_one()
        )

    def _items(self, call: str, **binds: object) -> set[ItemId]:
        return set(self._connection.execute(text(f"SELECT {call}"), binds).scalars())
