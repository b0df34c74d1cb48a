"""Agents by their signs of life, and the fleet that should be running."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, text, update

from backend.domain.fleet import AgentKind, AgentState, FleetSpec
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.storage.rows import insert_rows
from backend.storage.tables import AgentRow, FleetRow


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent as it last showed itself."""

    id: AgentId
    kind: AgentKind
    name: str
    host: str
    pid: int
    queue: str | None
    endpoint: str | None
    state: AgentState
    started_at: datetime
    beat_at: datetime


class AgentRepository:
    """Processes of ours."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, beat: AgentBeat, now: datetime) -> BeatAnswer:
        """Record a sign of life; the answer says whether to drain."""
        state = self._connection.execute(
            text("""
                INSERT INTO agents (id, kind, name, host, pid, queue, endpoint, token, state, started_at, beat_at)
                VALUES (:id, :kind, :name, :host, :pid, :queue, :endpoint, :token, 'up', :now, :now)
                ON CONFLICT (id) DO UPDATE SET beat_at = :now, endpoint = :endpoint, token = :token RETURNING state
            """),
            {
                "id": beat.agent_id,
                "kind": beat.kind,
                "name": beat.name,
                "host": beat.host,
                "pid": beat.pid,
                "queue": beat.queue,
                "endpoint": beat.endpoint,
                "token": beat.token,
                "now": now,
            },
        ).scalar_one()
        return BeatAnswer(drain=state != AgentState.UP)

    def stop(self, agent_id: AgentId, now: datetime) -> None:
        """The agent says goodbye."""
        self._connection.execute(
            update(AgentRow).where(AgentRow.id == agent_id).values(state=AgentState.STOPPED, beat_at=now)
        )

    def all(self) -> list[AgentStatus]:
        """All agents that ever were, by kind and name."""
        row = AgentRow
        rows = self._connection.execute(
            select(
                row.id,
                row.kind,
                row.name,
                row.host,
                row.pid,
                row.queue,
                row.endpoint,
                row.state,
                row.started_at,
                row.beat_at,
            ).order_by(row.kind, row.name, row.id)
        )
        return [
            AgentStatus(
                AgentId(r.id),
                AgentKind(r.kind),
                r.name,
                r.host,
                r.pid,
                r.queue,
                r.endpoint,
                AgentState(r.state),
                r.started_at,
                r.beat_at,
            )
            for r in rows
        ]

    def forget_before(self, before: datetime) -> None:
        """Delete agents that have not been seen since."""
        self._connection.execute(delete(AgentRow).where(AgentRow.beat_at < before))


class FleetRepository:
    """What the manager should keep running."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def desired(self) -> list[FleetSpec]:
        """Every entry, by name."""
        rows = self._connection.execute(
            select(FleetRow.name, FleetRow.kind, FleetRow.arguments, FleetRow.replicas).order_by(FleetRow.name)
        )
        return [FleetSpec(r.name, AgentKind(r.kind), tuple(r.arguments), r.replicas) for r in rows]

    def set_desired(self, specs: Sequence[FleetSpec]) -> None:
        """Add or change entries; others stay as they are."""
        insert_rows(
            self._connection,
            FleetRow,
            [
                {"name": s.name, "kind": str(s.kind), "arguments": list(s.arguments), "replicas": s.replicas}
                for s in specs
            ],
            "ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, arguments = excluded.arguments,"
            " replicas = excluded.replicas",
        )
