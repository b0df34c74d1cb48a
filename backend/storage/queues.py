"""Queues of work as the database knows them: what is due to run, whatever the broker has of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import UnitId


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work of one queue: items, the units with items that nobody has, how often those were sent, the oldest of them.

    `owed` messages are still to be handed to the broker.
    """

    queue: str
    queued: int
    running: int
    units: int
    sends: int
    oldest: UnitId | None
    owed: int


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a unit: its queued and running items, and how often it was sent."""

    queued: int
    running: int
    sends: int


class QueueRepository:
    """Reads of queues, and the one thing that may be done to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def backlogs(self) -> list[Backlog]:
        """Every queue that has anything, by name."""
        rows: Any = self._connection.execute(
            text("""
                WITH per_unit AS (
                    SELECT unit_id, count(*) FILTER (WHERE state = 'queued') AS queued,
                           count(*) FILTER (WHERE state = 'running') AS running
                    FROM work_items WHERE state IN ('queued', 'running') GROUP BY unit_id
                ), work AS (
                    SELECT u.queue, sum(p.queued) AS queued, sum(p.running) AS running,
                           count(*) FILTER (WHERE p.queued > 0) AS units,
                           sum(u.sends) FILTER (WHERE p.queued > 0) AS sends,
                           (array_agg(u.id ORDER BY u.id) FILTER (WHERE p.queued > 0))[1] AS oldest
                    FROM per_unit p JOIN units u ON u.id = p.unit_id GROUP BY u.queue
                ), owing AS (
                    SELECT queue, count(*) AS owed FROM outbox WHERE sent_at IS NULL GROUP BY queue
                )
                SELECT coalesce(w.queue, o.queue), coalesce(w.queued, 0)::bigint, coalesce(w.running, 0)::bigint,
                       coalesce(w.units, 0), coalesce(w.sends, 0), w.oldest, coalesce(o.owed, 0)
                FROM work w FULL JOIN owing o ON o.queue = w.queue ORDER BY 1
            """)
        )
        return [Backlog(*row) for row in rows]

    def waiting(self) -> int:
        """Items of running orders that are in no queue yet."""
        statement = (
            "SELECT count(*) FROM work_items i JOIN orders o ON o.id = i.order_id"
            " WHERE i.state = 'waiting' AND o.state = 'running'"
        )
        return int(self._connection.execute(text(statement)).scalar_one())

    def of_nodes(self) -> list[str]:
        """Queues that nodes have, by name."""
        return [row.queue for row in self._connection.execute(text("SELECT DISTINCT queue FROM nodes ORDER BY queue"))]

    def left(self, units: Collection[UnitId]) -> dict[UnitId, Left]:
        """What is left of those of these units that exist."""
        rows: Any = self._connection.execute(
            text("""
                SELECT u.id, count(*) FILTER (WHERE i.state = 'queued'), count(*) FILTER (WHERE i.state = 'running'),
                       u.sends
                FROM units u LEFT JOIN work_items i ON i.unit_id = u.id AND i.state IN ('queued', 'running')
                WHERE u.id = ANY(:units) GROUP BY u.id
            """),
            {"units": list(units)},
        )
        return {unit: Left(*rest) for unit, *rest in rows}

    def send_again(self, queue: str, now: datetime) -> int:
        """Let the sweeper send the queue's units that still have something to claim; returns how many."""
        return self._connection.execute(
            text("""
                UPDATE units SET resend_at = :now WHERE id IN (
                    SELECT u.id FROM units u WHERE u.queue = :queue AND EXISTS (
                        SELECT 1 FROM work_items i WHERE i.unit_id = u.id AND i.state = 'queued')
                    ORDER BY u.id FOR UPDATE)
            """),
            {"queue": queue, "now": now},
        ).rowcount
