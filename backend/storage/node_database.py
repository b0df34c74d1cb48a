"""What a node of the operator may do to the database: call these functions, and nothing else (role `swarmex_node`)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from backend.domain.dead_letters import DeadMessage
from backend.domain.ids import AgentId, ItemId, ModelId, UnitId
from backend.domain.peers import Peer
from backend.domain.sealing_keys import HeldKey, KeyStanding
from backend.domain.tensors import Signature
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.storage.node_connections import NodeConnections
from backend.storage.node_sealing import NODE_SEALING, held_binds, standing_of

# Of a model only where its items begin: hundreds of one signature would take longer to read than the items.
_OF_MODEL = ("model_id", "model_name", "model_version", "checksum", "uri", "signature")
_CLAIM = (
    'SELECT item_id, fence, attempt, node_id, "rows", inputs, '
    + ", ".join(f"CASE WHEN begins THEN {name} END AS {name}" for name in _OF_MODEL)
    + " FROM (SELECT *, model_id IS DISTINCT FROM lag(model_id) OVER () AS begins"
    " FROM work_claim(%(agent)s, %(unit)s)) c"
)


class NodeDatabase:
    """Claim, beat and commit as SQL functions; each call is one transaction."""

    def __init__(self, connections: NodeConnections) -> None:
        self.connections = connections

    def agent_beat(self, beat: AgentBeat) -> BeatAnswer:
        """A sign of life of an inference agent."""
        [row] = self.connections.rows(
            "SELECT agent_beat(%(id)s, %(name)s, %(host)s, %(pid)s, %(queue)s, %(endpoint)s, %(token)s,"
            " CAST(%(done)s AS bigint), %(waiting)s, CAST(%(tick_age_ms)s AS bigint)) AS drain",
            {
                "id": beat.agent_id,
                "name": beat.name,
                "host": beat.host,
                "pid": beat.pid,
                "queue": beat.queue,
                "endpoint": beat.endpoint,
                "token": beat.token,
                "done": beat.work_done,
                "waiting": beat.work_waiting,
                "tick_age_ms": beat.tick_age_ms,
            },
        )
        return BeatAnswer(drain=row.drain)

    def agent_stop(self, agent_id: AgentId) -> None:
        """Goodbye of an inference agent."""
        self.connections.rows("SELECT agent_stop(%(id)s)", {"id": agent_id})

    def claim(self, agent_id: AgentId, unit_id: UnitId) -> list[ClaimedItem]:
        """Take what is left of a unit: nothing, if somebody has it; a unit of another queue is never given."""
        rows = self.connections.rows(_CLAIM, {"agent": agent_id, "unit": unit_id})
        items: list[ClaimedItem] = []
        models: dict[UUID, ModelRef] = {}
        for row in rows:
            if row.model_id is not None:
                model = models.setdefault(row.model_id, _model(row))
            items.append(ClaimedItem(row.item_id, row.fence, row.attempt, row.node_id, row.rows, row.inputs, model))
        return items

    def beat(self, agent_id: AgentId, items: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Prolong claims (item, fence); returns the items that are still the agent's."""
        return self._items(
            "SELECT work_beat(%(agent)s, CAST(%(items)s AS uuid[]), CAST(%(fences)s AS bigint[]))",
            {
                "agent": agent_id,
                "items": [item for item, _ in items],
                "fences": [fence for _, fence in items],
            },
        )

    def commit(self, agent_id: AgentId, results: Sequence[ItemResult]) -> set[ItemId]:
        """Hand in results; returns those that counted: a stale fence is void."""
        return self._items(
            "SELECT work_commit(%(agent)s, CAST(%(items)s AS uuid[]), CAST(%(fences)s AS bigint[]),"
            " CAST(%(busy)s AS bigint[]), CAST(%(outputs)s AS bytea[]))",
            {
                "agent": agent_id,
                "items": [r.item_id for r in results],
                "fences": [r.fence for r in results],
                "busy": [r.busy_us for r in results],
                "outputs": [r.outputs for r in results],
            },
        )

    def fail(self, agent_id: AgentId, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Report items that could not be run; they are tried again, or dead after too many attempts."""
        return self._items(
            "SELECT work_fail(%(agent)s, CAST(%(items)s AS uuid[]), CAST(%(fences)s AS bigint[]),"
            " CAST(%(errors)s AS text[]))",
            {
                "agent": agent_id,
                "items": [f.item_id for f in failures],
                "fences": [f.fence for f in failures],
                "errors": [f.error for f in failures],
            },
        )

    def release(self, agent_id: AgentId, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run, which is no attempt and speaks against nobody; those that counted."""
        return self._items(
            "SELECT work_release(%(agent)s, CAST(%(items)s AS uuid[]), CAST(%(fences)s AS bigint[]))",
            {"agent": agent_id, "items": [item for item, _ in held], "fences": [fence for _, fence in held]},
        )

    def bury(self, agent_id: AgentId, queue: str, message: DeadMessage) -> bool:
        """Record a message that was refused; False for a unit that is known after all, or one too many of a queue."""
        [row] = self.connections.rows(
            "SELECT message_bury(%(agent)s, %(queue)s, %(reason)s, %(error)s, %(size)s, %(digest)s, %(excerpt)s,"
            " CAST(%(unit)s AS uuid)) AS recorded",
            {
                "agent": agent_id,
                "queue": queue,
                "reason": message.reason,
                "error": message.error,
                "size": message.size_bytes,
                "digest": message.digest,
                "excerpt": message.excerpt,
                "unit": message.unit_id,
            },
        )
        return bool(row.recorded)

    def models(self) -> list[ModelRef]:
        """Every registered model, for real-time requests."""
        return [_model(row) for row in self.connections.rows("SELECT * FROM node_models()", {})]

    def peers(self, agent_id: AgentId, model_id: ModelId) -> list[Peer]:
        """Agents of the agent's region that are likely to have a model's file, and what opens it there."""
        rows = self.connections.rows(
            "SELECT * FROM node_peers(%(agent)s, %(model)s)", {"agent": agent_id, "model": model_id}
        )
        return [Peer(row.endpoint, row.token) for row in rows]

    def show_keys(self, agent_id: AgentId, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Say what the agent has of its nodes' sealing keys; how each stands, and the challenges to answer."""
        return [standing_of(row) for row in self.connections.rows(NODE_SEALING, held_binds(agent_id, held))]

    def close(self) -> None:
        """Close the connections."""
        self.connections.close()

    def _items(self, statement: str, binds: dict[str, object]) -> set[ItemId]:
        return {row[0] for row in self.connections.rows(statement, binds)}


def _model(row: Any) -> ModelRef:
    signature = Signature.from_wire(row.signature)
    return ModelRef(row.model_id, row.model_name, row.model_version, row.checksum, row.uri, signature)
