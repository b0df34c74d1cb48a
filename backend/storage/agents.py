"""Agents by their signs of life, and what is in their hands."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, text, update

from backend.domain.fleet import AgentKind, AgentState
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.storage.tables import AgentRow

BROKER_LATE = timedelta(seconds=2)  # a message owed for longer says that the broker is away, not that agents idle

# Agents `a` that a manager may have started. A remote node names its agent as it likes, perhaps like one of ours: what
# it does must not speak for ours.
_OURS = """
    a.kind <> 'manager' AND (a.queue IS NULL OR a.queue NOT IN (
        SELECT n.queue FROM node_keys k JOIN nodes n ON n.id = k.node_id
    ))
"""


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
    work_done: int = 0
    work_waiting: bool = False
    tick_age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """A living agent as the manager watches it: its last sign, what it holds, and whether its queue has more.

    `held_us` is the worst case of the items in its hand, in microseconds of slots.
    """

    id: AgentId
    name: str
    state: AgentState
    beat_at: datetime
    work_done: int
    work_waiting: bool
    tick_age_ms: int | None
    held: int
    held_us: int
    queue_waits: bool


class AgentRepository:
    """Processes of ours."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, beat: AgentBeat, now: datetime) -> BeatAnswer:
        """Record a sign of life; the answer says whether to drain."""
        state = self._connection.execute(
            text("""
                INSERT INTO agents (id, kind, name, host, pid, queue, endpoint, token, state, started_at, beat_at,
                                    work_done, work_waiting, tick_age_ms)
                VALUES (:id, :kind, :name, :host, :pid, :queue, :endpoint, :token, 'up', :now, :now,
                        :done, :waiting, :tick_age_ms)
                ON CONFLICT (id) DO UPDATE SET beat_at = :now, endpoint = :endpoint, token = :token,
                    work_done = :done, work_waiting = :waiting, tick_age_ms = :tick_age_ms RETURNING state
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
                "done": beat.work_done,
                "waiting": beat.work_waiting,
                "tick_age_ms": beat.tick_age_ms,
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
                row.work_done,
                row.work_waiting,
                row.tick_age_ms,
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
                r.work_done,
                r.work_waiting,
                r.tick_age_ms,
            )
            for r in rows
        ]

    def sights(self, now: datetime) -> list[Sight]:
        """Of each name the youngest agent of ours that is up or drains, managers left out.

        A queue has more when items of it wait to be claimed and the broker is not behind.
        """
        rows: Any = self._connection.execute(
            text(f"""
                WITH held AS MATERIALIZED (
                    SELECT agent_id, count(*) AS items, sum(us_max)::bigint AS us FROM work_items
                    WHERE state = 'running' GROUP BY agent_id
                ), waiting AS MATERIALIZED (
                    SELECT DISTINCT u.queue FROM units u
                    WHERE u.id IN (SELECT unit_id FROM work_items WHERE state = 'queued')
                    AND NOT EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL AND created_at < :late)
                )
                SELECT DISTINCT ON (a.name) a.id, a.name, a.state, a.beat_at, a.work_done, a.work_waiting,
                       a.tick_age_ms, coalesce(h.items, 0), coalesce(h.us, 0), w.queue IS NOT NULL
                FROM agents a LEFT JOIN held h ON h.agent_id = a.id LEFT JOIN waiting w ON w.queue = a.queue
                WHERE a.state IN ('up', 'draining') AND {_OURS} ORDER BY a.name, a.started_at DESC, a.id
            """),
            {"late": now - BROKER_LATE},
        )
        return [Sight(agent, name, AgentState(state), *rest) for agent, name, state, *rest in rows]

    def there(self, name: str, before: datetime) -> list[AgentId]:
        """Agents of ours of that name that started before, and neither said goodbye nor are lost."""
        rows = self._connection.execute(
            text(
                f"SELECT a.id FROM agents a WHERE a.name = :name AND a.state IN ('up', 'draining')"
                f" AND a.started_at < :before AND {_OURS}"
            ),
            {"name": name, "before": before},
        )
        return [AgentId(row.id) for row in rows]

    def lose(self, agents: Collection[AgentId]) -> None:
        """These ended without a word."""
        self._connection.execute(update(AgentRow).where(AgentRow.id.in_(agents)).values(state=AgentState.LOST))

    def drain(self, agents: Collection[AgentId]) -> int:
        """Let those of these that are up finish what they hold and end; returns how many."""
        asked = update(AgentRow).where(AgentRow.id.in_(agents), AgentRow.state == AgentState.UP)
        return self._connection.execute(asked.values(state=AgentState.DRAINING)).rowcount

    def forget_before(self, before: datetime) -> None:
        """Delete agents that have not been seen since."""
        self._connection.execute(delete(AgentRow).where(AgentRow.beat_at < before))
