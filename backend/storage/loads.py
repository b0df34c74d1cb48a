"""What scaling and balancing look at: queues as they are now, and what their nodes made of their work."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.storage.ids import first_id_at, made_ms
from backend.storage.nodes import alive_since


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """A queue: items waiting and claimed, arrivals lately and since a moment, the p95 wait, agents living and at work.

    `unserved` are items of open orders in the markets of its nodes, while none of its agents lives.
    """

    queue: str
    backlog: int
    in_flight: int
    arrived: int
    arrived_since: int
    wait_ms_p95: int
    living: int
    busy: int
    unserved: int


class LoadRepository:
    """Figures on work, in one statement each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_queues(
        self, queues: Collection[str], now: datetime, since: datetime, looked: datetime
    ) -> dict[str, QueueLoad]:
        """Each of these queues; arrivals are items put into units after `since`, and of these after `looked`.

        The wait is that of items which wait now, until now, and of those in hand, until their claim.
        """
        rows: Any = self._connection.execute(
            text(f"""
                WITH asked AS MATERIALIZED (
                    SELECT unnest(CAST(:queues AS text[])) AS queue
                ), live AS (
                    SELECT u.queue, count(*) FILTER (WHERE i.state = 'queued') AS backlog,
                           count(*) FILTER (WHERE i.state = 'running') AS in_flight,
                           count(DISTINCT i.agent_id) FILTER (WHERE i.state = 'running') AS busy,
                           percentile_disc(0.95) WITHIN GROUP (ORDER BY greatest(0, extract(epoch FROM
                               CASE i.state WHEN 'running' THEN i.claimed_at ELSE :now END) * 1000
                               - {made_ms("u.id")})) AS wait_ms
                    FROM work_items i JOIN units u ON u.id = i.unit_id JOIN asked USING (queue)
                    WHERE i.state IN ('queued', 'running') GROUP BY u.queue
                ), held_back AS (
                    SELECT n.queue, count(*) AS items FROM work_items i
                    JOIN leases l ON l.order_id = i.order_id AND l.state = 'active' JOIN nodes n ON n.id = l.node_id
                    JOIN asked USING (queue)
                    WHERE i.state = 'waiting' GROUP BY n.queue
                ), arrived AS (
                    SELECT u.queue, sum(u.items) AS items,
                           sum(u.items) FILTER (WHERE u.id >= :looked) AS since_looked
                    FROM units u JOIN asked USING (queue) WHERE u.id >= :since GROUP BY u.queue
                ), agents_there AS (
                    SELECT a.queue, count(*) AS living FROM agents a JOIN asked USING (queue)
                    WHERE a.state = 'up' AND a.beat_at > :alive_since GROUP BY a.queue
                ), unserved AS (
                    SELECT q.queue, count(*) AS items
                    FROM (
                        SELECT DISTINCT n.queue, n.resource_class, n.region FROM nodes n JOIN asked USING (queue)
                        JOIN offers f ON f.node_id = n.id AND f.state = 'open'
                        WHERE n.state = 'active'
                        AND NOT EXISTS (SELECT 1 FROM agents_there t WHERE t.queue = n.queue)
                    ) q
                    JOIN orders o ON o.state = 'open' AND o.resource_class = q.resource_class AND o.region = q.region
                    JOIN work_items i ON i.order_id = o.id AND i.state = 'waiting' GROUP BY q.queue
                )
                SELECT asked.queue, coalesce(live.backlog, 0) + coalesce(held_back.items, 0),
                       coalesce(live.in_flight, 0), coalesce(arrived.items, 0)::bigint,
                       coalesce(arrived.since_looked, 0)::bigint,
                       coalesce(live.wait_ms, 0)::bigint, coalesce(agents_there.living, 0), coalesce(live.busy, 0),
                       coalesce(unserved.items, 0)
                FROM asked LEFT JOIN live USING (queue) LEFT JOIN held_back USING (queue)
                LEFT JOIN arrived USING (queue) LEFT JOIN agents_there USING (queue) LEFT JOIN unserved USING (queue)
            """),
            {
                "queues": sorted(set(queues)),
                "now": now,
                "since": first_id_at(since),
                "looked": first_id_at(looked),
                "alive_since": alive_since(now),
            },
        )
        return {queue: QueueLoad(queue, *figures) for queue, *figures in rows}
