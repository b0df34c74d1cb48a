"""Training jobs, and what they cost.

Whoever changes a job, one of its rounds or their participants locks the job's row first, before the orders and the
money of its participants: no other code locks these rows, so that no two transactions can wait for each other in a
circle.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.access import Spender
from backend.domain.federated.jobs import Privacy, Target, TrainingSpec
from backend.domain.federated.states import EndReason, JobState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.ids import AccountId, ModelId, TrainingJobId
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import TrainingJobRow


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training job's row; `round` is how many rounds were aggregated.

    `weights` are those after the last of them; None until the initial ones are made.
    """

    id: TrainingJobId
    account_id: AccountId
    member_id: AccountId | None
    trainer_model_id: ModelId
    spec: TrainingSpec
    state: JobState
    created_at: datetime
    deadline_at: datetime
    claimed_until: datetime
    reason: EndReason | None = None
    ended_at: datetime | None = None
    round: int = 0
    failed_rounds: int = 0
    weights: WeightsRef | None = None
    strategy_state: WeightsRef | None = None
    best_value: float | None = None
    best_round: int | None = None
    stale_rounds: int = 0
    epsilon: float | None = None
    result_model_id: ModelId | None = None
    result_error: str | None = None
    cancel_requested: bool = False

    @property
    def spender(self) -> Spender:
        """Who pays for it."""
        return Spender(self.account_id, self.member_id)


_JOB = ", ".join(f"j.{name}" for name in TrainingJob.__dataclass_fields__)


class TrainingJobRepository:
    """Training jobs by id and account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job: TrainingJob) -> None:
        """Record a new job."""
        insert_rows(self._connection, TrainingJobRow, [_row(job)])

    def find(self, job_id: TrainingJobId, *, for_update: bool = False) -> TrainingJob | None:
        """The job of that id."""
        lock = "FOR UPDATE" if for_update else ""
        found = self._jobs(f"SELECT {_JOB} FROM training_jobs j WHERE j.id = :id {lock}", {"id": job_id})
        return found[0] if found else None

    def page(self, account: AccountId | None, limit: int, after: TrainingJobId | None) -> list[TrainingJob]:
        """The newest jobs of an account (None: of everybody), older than `after`."""
        return self._jobs(
            f"SELECT {_JOB} FROM training_jobs j WHERE (CAST(:account AS uuid) IS NULL OR j.account_id = :account)"
            f" AND (CAST(:after AS uuid) IS NULL OR j.id < :after) ORDER BY j.id DESC LIMIT :limit",
            {"account": account, "after": after, "limit": limit},
        )

    def open_of(self, account: AccountId) -> int:
        """How many jobs of an account have not ended."""
        return int(
            self._connection.execute(
                text("SELECT count(*) FROM training_jobs WHERE account_id = :account AND ended_at IS NULL"),
                {"account": account},
            ).scalar_one()
        )

    def open_of_member(self, account: AccountId, member: AccountId) -> list[TrainingJob]:
        """What a member of an organisation has under way, locked until the transaction ends."""
        return self._jobs(
            f"SELECT {_JOB} FROM training_jobs j WHERE j.account_id = :account AND j.member_id = :member"
            f" AND j.ended_at IS NULL ORDER BY j.id FOR UPDATE",
            {"account": account, "member": member},
        )

    def ended_between(self, start: datetime, end: datetime) -> list[tuple[TrainingJobId, int]]:
        """Jobs that ended from `start` until before `end`, and how many rounds each has done."""
        rows = self._connection.execute(
            text("SELECT id, round FROM training_jobs WHERE ended_at >= :start AND ended_at < :end ORDER BY id"),
            {"start": start, "end": end},
        )
        return [(row.id, row.round) for row in rows]

    def claim(self, now: datetime, until: datetime) -> TrainingJob | None:
        """The job that waited longest, for nobody else to look at before `until`."""
        found = self._jobs(
            f"UPDATE training_jobs j SET claimed_until = :until WHERE j.id = (SELECT id FROM training_jobs"
            f" WHERE ended_at IS NULL AND claimed_until <= :now ORDER BY claimed_until, id LIMIT 1"
            f" FOR UPDATE SKIP LOCKED) RETURNING {_JOB}",
            {"now": now, "until": until},
        )
        return found[0] if found else None

    def let_go(self, job_id: TrainingJobId, until: datetime) -> None:
        """The next look at a job is from then on."""
        self._connection.execute(
            text("UPDATE training_jobs SET claimed_until = :until WHERE id = :id"), {"id": job_id, "until": until}
        )

    def write(self, job: TrainingJob) -> None:
        """Record a job, which the caller has locked, as it is now."""
        update_rows(self._connection, TrainingJobRow, [_row(job)])

    def charged_of(self, jobs: Collection[TrainingJobId]) -> dict[TrainingJobId, int]:
        """What jobs that have asked anybody were charged so far, in nano-credits."""
        rows = self._connection.execute(
            text(
                "SELECT p.job_id, sum(o.charged_nano)::bigint AS charged FROM training_participants p"
                " JOIN orders o ON o.id = p.order_id WHERE p.job_id = ANY(:ids) GROUP BY p.job_id"
            ),
            {"ids": list(jobs)},
        )
        return {row.job_id: row.charged for row in rows}

    def open_nano_of(self, jobs: Collection[TrainingJobId]) -> dict[TrainingJobId, int]:
        """What orders of jobs that have not ended may still cost, in nano-credits: what is held for them."""
        rows = self._connection.execute(
            text(
                "SELECT p.job_id, sum(h.amount_nano - h.captured_nano - h.released_nano)::bigint AS held"
                " FROM training_participants p JOIN orders o ON o.id = p.order_id JOIN holds h ON h.id = o.hold_id"
                " WHERE p.job_id = ANY(:jobs) AND o.closed_at IS NULL GROUP BY p.job_id"
            ),
            {"jobs": list(jobs)},
        )
        return {row.job_id: row.held for row in rows}

    def _jobs(self, statement: str, binds: Mapping[str, Any]) -> list[TrainingJob]:
        return [_job(row) for row in self._connection.execute(text(statement), binds)]


def weights_of(stored: Mapping[str, Any] | None) -> WeightsRef | None:
    """A reference to a file as JSON has it."""
    return None if stored is None else WeightsRef(**stored)


def _job(row: Any) -> TrainingJob:
    values = dict(row._mapping)
    return TrainingJob(
        **values
        | {
            "spec": _spec(values["spec"]),
            "state": JobState(values["state"]),
            "reason": values["reason"] and EndReason(values["reason"]),
            "weights": weights_of(values["weights"]),
            "strategy_state": weights_of(values["strategy_state"]),
        }
    )


def _spec(stored: Mapping[str, Any]) -> TrainingSpec:
    privacy = stored["privacy"]
    return TrainingSpec(
        **dict(stored)
        | {
            "strategy_options": {name: float(value) for name, value in stored["strategy_options"].items()},
            "target": Target(**stored["target"]),
            "privacy": privacy and Privacy(**privacy),
        }
    )


def _row(job: TrainingJob) -> dict[str, Any]:
    """Its columns; what is a dataclass becomes an object of JSON where it is bound."""
    return values_of(job) | {"state": str(job.state), "reason": job.reason and str(job.reason)}
