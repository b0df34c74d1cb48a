"""Training jobs step by step: one job is taken in hand, one small step is done with it, and it is let go.

Every step looks at what is recorded and is written in a transaction of its own that locks the job first and checks its
state. So it may be broken off anywhere and be done again by anybody: the claim only spares replicas each other's work.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backend.domain.errors import ChecksumMismatch
from backend.domain.federated.states import FINAL, EndReason, JobState
from backend.domain.federated.tasks import updates_folder
from backend.services.training_aggregating import aggregate_round
from backend.services.training_claims import CLAIM, held
from backend.services.training_collecting import collect
from backend.services.training_ending import end_early, lock_job
from backend.services.training_evaluating import evaluate_round
from backend.services.training_exporting import export_result
from backend.services.training_selecting import begin_round
from backend.services.training_tools import Tools
from backend.storage.contention import patient
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

GIVE_UP_AFTER = timedelta(hours=1)  # its deadline: what could not be finished by then never will be
LOOK_EVERY = timedelta(seconds=0.1)  # at a job that has nothing to do but wait, for updates or for nodes
STRAGGLE = timedelta(minutes=5)  # after a job's end: whoever still fitted for it has lost his claim by then
SWEPT_FOR = timedelta(hours=1)
BROKEN_WAIT = timedelta(seconds=5)  # before a job is tried again whose step broke; other jobs do not wait for it

log = structlog.get_logger(__name__)


def work(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools) -> bool:
    """Do one step with the job that waited longest; returns whether there may be more to do at once.

    A step that breaks is logged and its job put off. Without the object store nothing is begun.
    """
    if not objects.is_here():
        return False
    with uow() as claiming:
        job = claiming.training_jobs.claim(now, now + CLAIM)
        claiming.commit()
    if job is None:
        return False
    try:
        busy = step(uow, now, objects, tools, job)
        next_at = now if busy else now + LOOK_EVERY
    except Exception:
        log.exception("training.step_failed", job=str(job.id), state=str(job.state))
        busy, next_at = False, now + BROKEN_WAIT
    with uow() as letting:
        letting.training_jobs.let_go(job.id, next_at)
        after = letting.training_jobs.find(job.id) if busy else None
        letting.commit()
    if after is not None and after.state in FINAL:  # of a round that came to nothing; others dropped theirs before
        objects.delete_folder(updates_folder(job.id, after.round + 1))
    return True


def step(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> bool:
    """One step with a job as it was read; returns whether there is more to do at once."""
    if job.state in FINAL:
        return False
    if job.state is JobState.RUNNING:
        return collect(uow(), now, job)
    if now >= job.deadline_at + GIVE_UP_AFTER:
        return _lose(uow(), now, job, f"{job.state} could not be finished in time")
    try:
        with held(uow, now, job.id):
            return _HEAVY[job.state](uow, now, objects, tools, job)
    except (FileNotFoundError, ChecksumMismatch) as error:  # of the job's own files: they do not come back
        if not objects.is_here():  # unless all are away with their store
            raise
        return _lose(uow(), now, job, f"a file of this job is lost: {error}")


def drop_late_updates(uow: UnitOfWork, now: datetime, objects: ObjectStore) -> None:
    """Drop updates that came when their jobs had ended, for SWEPT_FOR; rounds before the last lost theirs already."""
    with uow:
        ended = uow.training_jobs.ended_between(now - STRAGGLE - SWEPT_FOR, now - STRAGGLE)
    for job_id, last in ended:
        for number in (last, last + 1):
            objects.delete_folder(updates_folder(job_id, number))


@patient
def _lose(uow: UnitOfWork, now: datetime, job: TrainingJob, error: str) -> bool:
    with uow:
        current = lock_job(uow, job.id, job.state)
        if current is not None:
            end_early(uow, now, replace(current, result_error=error), EndReason.TRAINER_FAILED)
            uow.commit()
    return True


_HEAVY: Mapping[JobState, Callable[[Uow, datetime, ObjectStore, Tools, TrainingJob], bool]] = {
    JobState.SELECTING: begin_round,
    JobState.AGGREGATING: aggregate_round,
    JobState.EVALUATING: evaluate_round,
    JobState.EXPORTING: export_result,
}
