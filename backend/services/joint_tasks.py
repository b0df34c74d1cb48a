"""Joint tasks: opened with their parts, worked on by whoever claims them, joined when they are decided."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.coordination import check_json, check_name
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.domain.joint_tasks import (
    CLAIM_MAX,
    ERROR_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    ClaimedPart,
    Part,
    PartClaim,
    PartFailure,
    PartResult,
    TaskState,
    TaskWish,
    check_task,
    decided,
    joined,
)
from backend.services.coordination import OPERATOR, Pause
from backend.services.log import record
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.joint_tasks import JointTask
from backend.storage.unit_of_work import UnitOfWork

SWEEP_MAX = 500
TASKS_KEPT = timedelta(days=1)
LIST_MAX = 500
POLL_S = 0.25
JOIN_MAX_S = 3_600.0


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with its parts."""

    task: JointTask
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """How many parts were returned or ended, tasks ended by time, and old ones forgotten."""

    lapsed: int
    overdue: int
    forgotten: int


def open_task(uow: UnitOfWork, now: datetime, opener: str, wish: TaskWish) -> JointTask:
    """Open a task; whoever knows its kind may claim its parts from now on. Raises Invalid, TooLarge."""
    payloads = check_task(wish)
    check_name("opener", opener)
    with uow:
        task = uow.joint_tasks.add(new_id(), opener, wish, payloads, now)
        uow.emit(Event(Topic.JOINT_CHANGED, str(task.id)))
        uow.commit()
    return task


def claim_parts(
    uow: UnitOfWork, now: datetime, claimer: str, kinds: Collection[str], limit: int = 1
) -> list[ClaimedPart]:
    """Take waiting parts of these kinds, the oldest first; they are the claimer's for CLAIM_S, and with each beat."""
    check_name("claimer", claimer)
    if not 1 <= limit <= CLAIM_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {CLAIM_MAX}")
    with uow:
        parts = uow.joint_tasks.claim(claimer, kinds, now, limit)
        uow.commit()
    return parts


@patient
def beat_parts(uow: UnitOfWork, now: datetime, claims: Collection[PartClaim]) -> set[PartClaim]:
    """Keep parts; returns those that are still the claimer's: work on the others is for nothing."""
    with uow:
        kept = uow.joint_tasks.beat(claims, now)
        uow.commit()
    return kept


@patient
def commit_parts(
    uow: UnitOfWork, now: datetime, results: Sequence[PartResult] = (), failures: Sequence[PartFailure] = ()
) -> set[PartClaim]:
    """Record results and failures of parts that are still the claimer's, and decide their tasks; returns which counted.

    Raises Invalid or TooLarge for a result that cannot be kept; nothing was recorded then.
    """
    if len(results) + len(failures) > CLAIM_MAX:
        raise Invalid("too many parts", code="invalid_parts", field="parts", accepted=f"up to {CLAIM_MAX} at a time")
    written = [(result.claim, check_json("result", result.result, PAYLOAD_BYTES_MAX)) for result in results]
    claims = [*(result.claim for result in results), *(failure.claim for failure in failures)]
    told = [replace(failure, error=_told(failure.error)) for failure in failures]
    with uow:
        tasks = uow.joint_tasks.lock_open({claim.task_id for claim in claims})
        counted = uow.joint_tasks.finish(written) if written else set()
        counted |= uow.joint_tasks.fail(told) if told else set()
        _decide(uow, now, tasks)
        uow.commit()
    return counted


def cancel_task(uow: UnitOfWork, now: datetime, principal: Principal | None, task_id: UUID) -> None:
    """End a task and what is under way of it, as an admin; logged.

    Raises Forbidden, NotFound, or Conflict(`joint_decided`) for one that has ended.
    """
    if principal is not None:
        principal.require(Role.ADMIN)
    with uow:
        if not uow.joint_tasks.lock_open([task_id]):
            _found(uow, task_id)
            raise Conflict(
                f"joint task {task_id} has ended", code="joint_decided", field="task", accepted="an open task"
            )
        _end(uow, now, [(task_id, TaskState.CANCELLED, f"cancelled by {OPERATOR}")])
        record(uow, now, principal, "joint.cancel", f"joint_task {task_id}")
        uow.commit()


def show_task(uow: UnitOfWork, task_id: UUID) -> TaskView:
    """A task and its parts; raises NotFound."""
    with uow:
        return TaskView(_found(uow, task_id), tuple(uow.joint_tasks.parts_of(task_id)))


def list_tasks(uow: UnitOfWork, state: TaskState | None = None, limit: int = 50) -> list[JointTask]:
    """The newest tasks, of a state or of all."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.joint_tasks.newest(state, limit)


def join(
    uow: Callable[[], UnitOfWork], task_id: UUID, timeout_s: float, pause: Pause = time.sleep
) -> list[object] | None:
    """Results of a task in the order of its parts, as soon as it is decided; None if it is not within `timeout_s`.

    Raises NotFound, or JointFailed naming each part's failure. It is looked at every POLL_S at least; with the `wait`
    of a subscription to Topic.JOINT_CHANGED as the pause, as soon as it changes.
    """
    deadline = time.monotonic() + min(timeout_s, JOIN_MAX_S)
    while True:
        view = show_task(uow(), task_id)
        if view.task.state is not TaskState.OPEN:
            return joined(task_id, view.task.state, view.task.reason or "", view.parts)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return None
        pause(min(POLL_S, left_s))


@patient
def sweep_joint(uow: UnitOfWork, now: datetime) -> Swept:
    """Return parts of claimers that fell silent, end tasks that are out of time, forget those decided long ago."""
    with uow:
        lapses = uow.joint_tasks.lapsed(now, SWEEP_MAX)
        tasks = uow.joint_tasks.lock_open({lapse.claim.task_id for lapse in lapses})
        silent = [PartFailure(lapse.claim, _told(f"{lapse.claimer} fell silent")) for lapse in lapses]
        returned = uow.joint_tasks.fail(silent, silent_at=now) if silent else set()
        _decide(uow, now, tasks)
        overdue = uow.joint_tasks.lock_overdue(now, SWEEP_MAX)
        if overdue:
            _end(uow, now, [(task.id, TaskState.FAILED, "the deadline passed") for task in overdue])
        if returned:
            uow.emit(Event(Topic.JOINT_CHANGED))
        forgotten = uow.joint_tasks.forget(now - TASKS_KEPT, SWEEP_MAX)
        uow.commit()
    return Swept(len(returned), len(overdue), forgotten)


def _decide(uow: UnitOfWork, now: datetime, tasks: Sequence[JointTask]) -> None:
    """End those of the locked tasks whose parts say so."""
    if not tasks:
        return
    tallies = uow.joint_tasks.tallies([task.id for task in tasks])
    verdicts = [(task.id, decided(task.policy, task.quorum, tallies[task.id])) for task in tasks]
    ended = [(task, *verdict) for task, verdict in verdicts if verdict]
    if ended:
        _end(uow, now, ended)


def _end(uow: UnitOfWork, now: datetime, verdicts: Sequence[tuple[UUID, TaskState, str]]) -> None:
    uow.joint_tasks.decide(verdicts, now)
    for task, _, _ in verdicts:
        uow.emit(Event(Topic.JOINT_CHANGED, str(task)))


def _found(uow: UnitOfWork, task_id: UUID) -> JointTask:
    task = uow.joint_tasks.find(task_id)
    if task is None:
        raise NotFound("joint task", task_id, field="task", accepted="`swarmex joint list` shows ids")
    return task


def _told(error: str) -> str:
    return error.replace("\0", "")[:ERROR_CHARS_MAX]
