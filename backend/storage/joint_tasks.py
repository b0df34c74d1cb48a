"""Joint tasks and their parts. Who changes both locks the tasks first, in id order; a claim takes parts alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.joint_tasks import (
    CLAIM_S,
    ClaimedPart,
    JoinPolicy,
    Part,
    PartClaim,
    PartFailure,
    PartState,
    Tally,
    TaskState,
    TaskWish,
    after_failure,
)
from backend.storage.rows import insert_records
from backend.storage.tables import JointTaskRow

_TASK = "id, kind, policy, quorum, parts, opener, state, reason, created_at, deadline_at, decided_at"
_CLAIMS = "unnest(CAST(:tasks AS uuid[]), CAST(:seqs AS int[]), CAST(:fences AS bigint[])) AS v (task_id, seq, fence)"


@dataclass(frozen=True, slots=True)
class JointTask:
    """A task, and how it was decided."""

    id: UUID
    kind: str
    policy: JoinPolicy
    quorum: int | None
    parts: int
    opener: str
    state: TaskState
    reason: str | None
    created_at: datetime
    deadline_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lapse:
    """A part whose claimer fell silent."""

    claim: PartClaim
    attempt: int
    claimer: str


class JointTaskRepository:
    """Tasks that several agents work on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, task_id: UUID, opener: str, wish: TaskWish, payloads: Sequence[str], now: datetime) -> JointTask:
        """Open a task with a part for each payload, which are JSON."""
        task = JointTask(
            task_id,
            wish.kind,
            wish.policy,
            wish.quorum,
            len(payloads),
            opener,
            TaskState.OPEN,
            None,
            now,
            now + wish.life,
            None,
        )
        insert_records(self._connection, JointTaskRow, [task])
        self._connection.execute(
            text("""
                INSERT INTO joint_parts (task_id, seq, payload, state)
                SELECT :task, p.number - 1, CAST(p.payload AS jsonb), 'waiting'
                FROM unnest(CAST(:payloads AS text[])) WITH ORDINALITY AS p (payload, number)
            """),
            {"task": task_id, "payloads": list(payloads)},
        )
        return task

    def claim(self, claimer: str, kinds: Collection[str], now: datetime, limit: int) -> list[ClaimedPart]:
        """Take the oldest waiting parts of these kinds; what others are taking is passed over."""
        rows = self._connection.execute(
            text("""
                WITH free AS (
                    SELECT p.task_id, p.seq, t.kind FROM joint_parts p
                    JOIN joint_tasks t ON t.id = p.task_id AND t.state = 'open' AND t.deadline_at > :now
                    WHERE p.state = 'waiting' AND t.kind = ANY(:kinds)
                    ORDER BY p.task_id, p.seq LIMIT :limit FOR UPDATE OF p SKIP LOCKED
                )
                UPDATE joint_parts p SET state = 'claimed', attempt = p.attempt + 1, fence = p.fence + 1,
                    claimer = :claimer, claimed_until = :until
                FROM free WHERE p.task_id = free.task_id AND p.seq = free.seq
                RETURNING p.task_id, p.seq, p.fence, free.kind, p.attempt, p.payload
            """),
            {"claimer": claimer, "kinds": list(kinds), "now": now, "until": _until(now), "limit": limit},
        ).all()
        parts = [ClaimedPart(PartClaim(r.task_id, r.seq, r.fence), r.kind, r.attempt, r.payload) for r in rows]
        return sorted(parts, key=lambda part: (part.claim.task_id, part.claim.seq))

    def beat(self, claims: Collection[PartClaim], now: datetime) -> set[PartClaim]:
        """Keep claims for another CLAIM_S; returns those that still are their claimer's."""
        rows = self._connection.execute(
            text(f"""
                UPDATE joint_parts p SET claimed_until = :until FROM {_CLAIMS}
                WHERE p.task_id = v.task_id AND p.seq = v.seq AND p.fence = v.fence AND p.state = 'claimed'
                RETURNING p.task_id, p.seq, p.fence
            """),
            {**_binds(claims), "until": _until(now)},
        )
        return {PartClaim(*row) for row in rows}

    def lock_open(self, tasks: Collection[UUID]) -> list[JointTask]:
        """Those of these tasks that are open, locked in id order until the transaction ends."""
        return self._tasks("id = ANY(:ids) AND state = 'open' ORDER BY id FOR UPDATE", ids=list(tasks))

    def lock_overdue(self, now: datetime, limit: int) -> list[JointTask]:
        """Open tasks past their deadline, locked."""
        return self._tasks(
            "state = 'open' AND deadline_at <= :now ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED",
            now=now,
            limit=limit,
        )

    def lapsed(self, now: datetime, limit: int) -> list[Lapse]:
        """Parts whose claimers have not beaten in time; not locked: their tasks are to be locked first."""
        rows = self._connection.execute(
            text(
                "SELECT task_id, seq, fence, attempt, claimer FROM joint_parts"
                " WHERE state = 'claimed' AND claimed_until <= :now ORDER BY claimed_until LIMIT :limit"
            ),
            {"now": now, "limit": limit},
        )
        return [Lapse(PartClaim(r.task_id, r.seq, r.fence), r.attempt, r.claimer) for r in rows]

    def finish(self, results: Sequence[tuple[PartClaim, str]]) -> set[PartClaim]:
        """Record results, which are JSON, of parts that still are their claimer's; returns which."""
        rows = self._connection.execute(
            text("""
                UPDATE joint_parts p
                SET state = 'done', claimed_until = NULL, result = CAST(v.result AS jsonb), error = NULL
                FROM unnest(CAST(:tasks AS uuid[]), CAST(:seqs AS int[]), CAST(:fences AS bigint[]),
                            CAST(:results AS text[])) AS v (task_id, seq, fence, result)
                WHERE p.task_id = v.task_id AND p.seq = v.seq AND p.fence = v.fence AND p.state = 'claimed'
                RETURNING p.task_id, p.seq, p.fence
            """),
            {**_binds([claim for claim, _ in results]), "results": [result for _, result in results]},
        )
        return {PartClaim(*row) for row in rows}

    def fail(self, failures: Sequence[PartFailure], silent_at: datetime | None = None) -> set[PartClaim]:
        """Return parts that still are their claimer's to the others, or end them by their attempts; returns which.

        With `silent_at`, only those whose claims had run out by then: one that has beaten meanwhile keeps its part.
        """
        claims = [failure.claim for failure in failures]
        attempts = self._attempts(claims)
        rows = self._connection.execute(
            text("""
                UPDATE joint_parts p SET state = v.state, claimed_until = NULL, error = v.error
                FROM unnest(CAST(:tasks AS uuid[]), CAST(:seqs AS int[]), CAST(:fences AS bigint[]),
                            CAST(:states AS text[]), CAST(:errors AS text[])) AS v (task_id, seq, fence, state, error)
                WHERE p.task_id = v.task_id AND p.seq = v.seq AND p.fence = v.fence AND p.state = 'claimed'
                AND (CAST(:silent AS timestamptz) IS NULL OR p.claimed_until <= :silent)
                RETURNING p.task_id, p.seq, p.fence
            """),
            {
                **_binds(claims),
                "states": [after_failure(attempts.get(f.claim, 0), f.again) for f in failures],
                "errors": [failure.error for failure in failures],
                "silent": silent_at,
            },
        )
        return {PartClaim(*row) for row in rows}

    def tallies(self, tasks: Collection[UUID]) -> dict[UUID, Tally]:
        """How the parts of these tasks stand."""
        rows = self._connection.execute(
            text("""
                SELECT task_id, count(*) AS total, count(*) FILTER (WHERE state = 'done') AS done,
                       count(*) FILTER (WHERE state = 'failed') AS failed
                FROM joint_parts WHERE task_id = ANY(:tasks) GROUP BY task_id
            """),
            {"tasks": list(tasks)},
        )
        return {row.task_id: Tally(row.total, row.done, row.failed) for row in rows}

    def decide(self, verdicts: Sequence[tuple[UUID, TaskState, str]], now: datetime) -> None:
        """End locked tasks; what is not done of them is cancelled, whoever has it in hand."""
        ids = [task for task, _, _ in verdicts]
        self._connection.execute(
            text("""
                UPDATE joint_tasks t SET state = v.state, reason = v.reason, decided_at = :now
                FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]))
                     AS v (id, state, reason)
                WHERE t.id = v.id
            """),
            {
                "ids": ids,
                "states": [state for _, state, _ in verdicts],
                "reasons": [reason for *_, reason in verdicts],
                "now": now,
            },
        )
        self._connection.execute(
            text(
                "UPDATE joint_parts SET state = 'cancelled', claimed_until = NULL"
                " WHERE task_id = ANY(:ids) AND state IN ('waiting', 'claimed')"
            ),
            {"ids": ids},
        )

    def find(self, task_id: UUID) -> JointTask | None:
        """The task of that id."""
        found = self._tasks("id = :id", id=task_id)
        return found[0] if found else None

    def newest(self, state: TaskState | None, limit: int) -> list[JointTask]:
        """The newest tasks, of a state or of all."""
        return self._tasks(
            "(CAST(:state AS text) IS NULL OR state = :state) ORDER BY id DESC LIMIT :limit", state=state, limit=limit
        )

    def parts_of(self, task_id: UUID) -> list[Part]:
        """The parts of a task, in order."""
        rows: Any = self._connection.execute(
            text(
                "SELECT seq, state, attempt, claimer, result, error FROM joint_parts WHERE task_id = :task ORDER BY seq"
            ),
            {"task": task_id},
        )
        return [Part(r.seq, PartState(r.state), r.attempt, r.claimer, r.result, r.error) for r in rows]

    def forget(self, before: datetime, limit: int) -> int:
        """Delete tasks that were decided before, with their parts; returns how many."""
        return self._connection.execute(
            text(
                "DELETE FROM joint_tasks WHERE id IN"
                " (SELECT id FROM joint_tasks WHERE decided_at < :before ORDER BY decided_at LIMIT :limit)"
            ),
            {"before": before, "limit": limit},
        ).rowcount

    def _attempts(self, claims: Collection[PartClaim]) -> dict[PartClaim, int]:
        rows = self._connection.execute(
            text(f"""
                SELECT p.task_id, p.seq, p.fence, p.attempt FROM joint_parts p JOIN {_CLAIMS}
                ON p.task_id = v.task_id AND p.seq = v.seq AND p.fence = v.fence
            """),
            _binds(claims),
        )
        return {PartClaim(row.task_id, row.seq, row.fence): row.attempt for row in rows}

    def _tasks(self, where: str, **binds: object) -> list[JointTask]:
        rows: Any = self._connection.execute(text(f"SELECT {_TASK} FROM joint_tasks WHERE {where}"), binds)
        return [_task(row) for row in rows]


def _task(row: Any) -> JointTask:
    values = row._asdict()
    return JointTask(**values | {"policy": JoinPolicy(row.policy), "state": TaskState(row.state)})


def _binds(claims: Collection[PartClaim]) -> dict[str, Any]:
    return {
        "tasks": [claim.task_id for claim in claims],
        "seqs": [claim.seq for claim in claims],
        "fences": [claim.fence for claim in claims],
    }


def _until(now: datetime) -> datetime:
    return now + timedelta(seconds=CLAIM_S)
