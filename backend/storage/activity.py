"""What agents have in hand, and what waits in their queues."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AgentId


@dataclass(frozen=True, slots=True)
class Load:
    """An agent's items in hand, their worst case in microseconds, and items in its queue (None: it has none)."""

    held: int
    held_us: int
    waiting: int | None


class ActivityRepository:
    """Reads only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def loads(self) -> dict[AgentId, Load]:
        """Of every agent that has not said goodbye."""
        rows: Any = self._connection.execute(
            text("""
                WITH held AS MATERIALIZED (
                    SELECT agent_id, count(*) AS items, sum(us_max)::bigint AS us FROM work_items
                    WHERE state = 'running' GROUP BY agent_id
                ), waiting AS MATERIALIZED (
                    SELECT u.queue, count(*) AS items FROM work_items i JOIN units u ON u.id = i.unit_id
                    WHERE i.state = 'queued' GROUP BY u.queue
                )
                SELECT a.id, coalesce(h.items, 0), coalesce(h.us, 0),
                       CASE WHEN a.queue IS NOT NULL THEN coalesce(w.items, 0) END
                FROM agents a LEFT JOIN held h ON h.agent_id = a.id LEFT JOIN waiting w ON w.queue = a.queue
                WHERE a.state <> 'stopped'
            """)
        )
        return {AgentId(agent): Load(*load) for agent, *load in rows}
