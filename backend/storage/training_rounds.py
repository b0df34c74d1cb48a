"""Rounds of training jobs; the job's row is locked first, as `training_jobs` says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.federated.states import RoundState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.ids import RoundId, TrainingJobId
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import TrainingRoundRow
from backend.storage.training_jobs import weights_of


@dataclass(frozen=True, slots=True)
class Round:
    """A round's row; `wanted` is how many participants it is to have, `weights` are those that came out of it."""

    id: RoundId
    job_id: TrainingJobId
    number: int
    attempt: int
    state: RoundState
    started_at: datetime
    deadline_at: datetime
    wanted: int
    ended_at: datetime | None = None
    weights: WeightsRef | None = None
    metrics: Mapping[str, float] | None = None
    epsilon: float | None = None


_ROUND = ", ".join(f"r.{name}" for name in Round.__dataclass_fields__)


class TrainingRoundRepository:
    """Rounds by job."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, one: Round) -> None:
        """Record a new round."""
        insert_rows(self._connection, TrainingRoundRow, [_row(one)])

    def write(self, one: Round) -> None:
        """Record a round as it is now."""
        update_rows(self._connection, TrainingRoundRow, [_row(one)])

    def open_of(self, job_id: TrainingJobId) -> Round | None:
        """The round of a job that is under way; there is one at most."""
        return self.open_among([job_id]).get(job_id)

    def open_among(self, jobs: Collection[TrainingJobId]) -> dict[TrainingJobId, Round]:
        """The rounds of these jobs that are under way."""
        found = self._rounds("r.job_id = ANY(:jobs) AND r.state = 'open'", {"jobs": list(jobs)})
        return {round_.job_id: round_ for round_ in found}

    def of_job(self, job_id: TrainingJobId) -> list[Round]:
        """All rounds of a job, those that failed too, by number and attempt."""
        return self._rounds("r.job_id = :job", {"job": job_id})

    def _rounds(self, which: str, binds: Mapping[str, Any]) -> list[Round]:
        rows = self._connection.execute(
            text(f"SELECT {_ROUND} FROM training_rounds r WHERE {which} ORDER BY r.number, r.attempt"), binds
        )
        return [_round(row) for row in rows]


def _round(row: Any) -> Round:
    values = dict(row._mapping)
    return Round(**values | {"state": RoundState(values["state"]), "weights": weights_of(values["weights"])})


def _row(one: Round) -> dict[str, Any]:
    metrics = None if one.metrics is None else dict(one.metrics)
    return values_of(one) | {"state": str(one.state), "metrics": metrics}
