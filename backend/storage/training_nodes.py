"""What training jobs know of nodes, and which nodes could be asked now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.ids import NodeId, TrainingJobId
from backend.domain.pricing import Market
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.rows import insert_records
from backend.storage.tables import TrainingNodeRow


@dataclass(frozen=True, slots=True)
class TrainingNode:
    """A node in a job: the share of the data that is its own, how often it was asked and how that went.

    One that `declined` is not asked again in that job. `examples` is what its last update was of, `fit_us` how long
    the longest of its accepted fits took, in microseconds.
    """

    job_id: TrainingJobId
    node_id: NodeId
    partition: int
    asked: int = 0
    accepted: int = 0
    failed: int = 0
    declined: str | None = None
    examples: int | None = None
    fit_us: int | None = None


@dataclass(frozen=True, slots=True)
class CandidateNode:
    """A node that a participant's order could go to now."""

    node_id: NodeId
    name: str
    trust_ppm: int
    slots_free: int
    market: Market


_NODE = ", ".join(f"t.{name}" for name in TrainingNode.__dataclass_fields__)


class TrainingNodeRepository:
    """Nodes by training job."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_job(self, job_id: TrainingJobId) -> Mapping[NodeId, TrainingNode]:
        """Every node that a job has asked."""
        rows = self._connection.execute(
            text(f"SELECT {_NODE} FROM training_nodes t WHERE t.job_id = :job ORDER BY t.partition"), {"job": job_id}
        )
        return {row.node_id: TrainingNode(*row) for row in rows}

    def add(self, nodes: Sequence[TrainingNode]) -> None:
        """Record nodes that a job had not asked before."""
        insert_records(self._connection, TrainingNodeRow, nodes)

    def write(self, nodes: Sequence[TrainingNode]) -> None:
        """Record nodes as they are now; their partitions stay."""
        self._connection.execute(
            text(
                "UPDATE training_nodes t SET asked = v.asked, accepted = v.accepted, failed = v.failed,"
                " declined = v.declined, examples = v.examples, fit_us = v.fit_us"
                " FROM unnest(CAST(:jobs AS uuid[]), CAST(:nodes AS uuid[]), CAST(:asked AS int[]),"
                " CAST(:accepted AS int[]), CAST(:failed AS int[]), CAST(:declined AS text[]),"
                " CAST(:examples AS int[]), CAST(:fits AS bigint[]))"
                " AS v (job_id, node_id, asked, accepted, failed, declined, examples, fit_us)"
                " WHERE t.job_id = v.job_id AND t.node_id = v.node_id"
            ),
            {
                "jobs": [one.job_id for one in nodes],
                "nodes": [one.node_id for one in nodes],
                "asked": [one.asked for one in nodes],
                "accepted": [one.accepted for one in nodes],
                "failed": [one.failed for one in nodes],
                "declined": [one.declined for one in nodes],
                "examples": [one.examples for one in nodes],
                "fits": [one.fit_us for one in nodes],
            },
        )

    def candidates(
        self, classes: Collection[str], region: str | None, trust_min_ppm: int, now: datetime, limit: int
    ) -> list[CandidateNode]:
        """Living nodes with an open offer, idle ones and the most trusted first; no servers of others."""
        rows = self._connection.execute(
            text(
                f"SELECT n.id, n.name, n.trust_ppm, n.slots - n.busy_slots AS slots_free, n.resource_class, n.region"
                f" FROM nodes n JOIN offers o ON o.node_id = n.id AND o.state = 'open'"
                f" WHERE n.state = 'active' AND NOT n.external AND n.resource_class = ANY(:classes)"
                f" AND (CAST(:region AS text) IS NULL OR n.region = :region) AND n.trust_ppm >= :trust_min"
                f" AND {ALIVE} ORDER BY n.busy_slots = n.slots, n.trust_ppm DESC, n.id LIMIT :limit"
            ),
            {
                "classes": list(classes),
                "region": region,
                "trust_min": trust_min_ppm,
                "alive_since": alive_since(now),
                "limit": limit,
            },
        )
        return [
            CandidateNode(row.id, row.name, row.trust_ppm, row.slots_free, Market(row.resource_class, row.region))
            for row in rows
        ]
