"""After a round: how good its weights are, what it told of its participants, and whether there is another one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from backend.domain.federated.progress import Best, ending, improved
from backend.domain.federated.states import EndReason, JobState, RoundState
from backend.domain.federated.tasks import updates_folder
from backend.services import scratch
from backend.services.training_ending import cancel, end_job, lock_job, move
from backend.services.training_files import fetch
from backend.services.training_privacy import epsilon_spent_by, rounds_of_one
from backend.services.training_tools import Tools, TrainerBroke
from backend.storage.contention import patient
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

log = structlog.get_logger(__name__)


def evaluate_round(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> bool:
    """Evaluate the weights of the last round and decide how the job goes on; its updates are not needed any more, nor
    those that came to the round before it when that was over.
    """
    for number in (job.round - 1, job.round):
        objects.delete_folder(updates_folder(job.id, number))
    metrics = _evaluated(objects, tools, job)
    with uow() as reading:
        most = rounds_of_one(job.spec, reading.training_nodes.of_job(job.id).values())
    spent, next_ = (epsilon_spent_by(tools, job.spec, rounds) for rounds in (most, most + 1))
    return _record(uow(), now, job, metrics, spent, next_)


def _evaluated(objects: ObjectStore, tools: Tools, job: TrainingJob) -> Mapping[str, float] | None:
    """What the trainer's own `evaluate` gives here, None where it gives nothing: participants' metrics count then."""
    spec, weights = job.spec, job.weights
    assert weights is not None
    with scratch.folder(weights.size_bytes, f"training {job.id}") as folder:
        path = fetch(objects, weights, folder / "weights.safetensors")
        try:
            found = tools.evaluate(spec.trainer, spec.seed, spec.config, path)
        except TrainerBroke as error:
            log.warning("training.evaluation_failed", job=str(job.id), round=job.round, error=error.message)
            return None
    return found.metrics if found else None


@patient
def _record(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    metrics: Mapping[str, float] | None,
    epsilon: float | None,
    epsilon_next: float | None,
) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.EVALUATING)
        if current is None or current.round != job.round:
            return True
        round_ = _last(uow, current)
        round_ = replace(round_, metrics=(round_.metrics or {}) if metrics is None else metrics, epsilon=epsilon)
        uow.training_rounds.write(round_)
        spec = current.spec
        value = (round_.metrics or {}).get(spec.target.metric)
        best = improved(
            Best(current.best_value, current.best_round, current.stale_rounds), spec.target, current.round, value
        )
        current = replace(
            current,
            best_value=best.value,
            best_round=best.round,
            stale_rounds=best.stale_rounds,
            epsilon=epsilon,
        )
        reason = ending(spec, current.round, value, best, epsilon_next)
        if reason is None and now >= current.deadline_at:
            reason = EndReason.DEADLINE_PASSED
        if current.cancel_requested:
            cancel(uow, now, current)
        elif reason is not None:
            end_job(uow, now, current, reason)
        else:
            move(uow, replace(current, state=JobState.SELECTING))
        uow.commit()
    return True


def _last(uow: UnitOfWork, job: TrainingJob) -> Round:
    """The round that the job's weights are of."""
    return next(
        round_
        for round_ in reversed(uow.training_rounds.of_job(job.id))
        if round_.state is RoundState.AGGREGATED and round_.number == job.round
    )
