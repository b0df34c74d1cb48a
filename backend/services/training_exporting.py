"""The result of a job: its weights as a model in the registry, with where it comes from, for anybody to serve.

Where a trainer cannot be exported the weights stay, to be downloaded, and the job says so.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound
from backend.domain.federated.jobs import PREFIX
from backend.domain.federated.states import EndReason, JobState, final_state
from backend.domain.ids import ModelId
from backend.services import scratch
from backend.services.model_changes import describe
from backend.services.models import register_model
from backend.services.training_ending import close_job, lock_job
from backend.services.training_files import fetch
from backend.services.training_tools import Tools, TrainerBroke
from backend.storage.contention import patient
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

ONNX_FACTOR = 4  # of scratch room: the weights, and a file that holds them in its own way
NO_EXPORT = "the trainer {} has no export to ONNX; the weights can be downloaded"
ID_DIGITS = 8


def export_result(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> bool:
    """Register what a job learned, where that is possible, and end the job."""
    try:
        model = _registered(uow, now, objects, tools, job)
    except (TrainerBroke, Invalid, Forbidden, Conflict, NotFound) as error:
        return _end(uow(), now, job, None, f"{error.code}: {error.message}", EndReason.EXPORT_FAILED)
    if model is None:
        return _end(uow(), now, job, None, NO_EXPORT.format(job.spec.trainer), job.reason)
    return _end(uow(), now, job, model.ref.model_id, None, job.reason)


def result_name(job: TrainingJob) -> str:
    """The name that a job's result is registered under: the one that was asked for, or one that nobody else has."""
    return job.spec.name or f"{job.spec.trainer}-{job.id.hex[-ID_DIGITS:]}"


def _registered(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> Model | None:
    assert job.weights is not None
    name, owner = result_name(job), Principal(None, job.account_id, Role.USER, job.member_id)
    with scratch.folder(ONNX_FACTOR * job.weights.size_bytes, f"training {job.id}") as folder:
        weights = fetch(objects, job.weights, folder / "weights.safetensors")
        path = folder / "model.onnx"
        if not tools.export(job.spec.trainer, job.spec.config, weights, path):
            return None
        with uow() as claiming:  # the name is the account's from now on, as if it had been registered with its key
            if not claiming.models.versions([name], deleted=True).get(name):
                claiming.models.touch(name, job.account_id)
                claiming.commit()
        model = register_model(uow(), now, objects, name, path, owner)
    return describe(uow(), now, owner, name, model.ref.version, tags=_lineage(uow, job))


def _lineage(uow: Uow, job: TrainingJob) -> dict[str, str | None]:
    with uow() as reading:
        nodes = reading.training_nodes.of_job(job.id).values()
    tags: dict[str, str | None] = {
        "training_job": f"{PREFIX}{job.id.hex}",
        "trainer": job.spec.trainer,
        "strategy": job.spec.strategy,
        "rounds": str(job.round),
        "participants": str(sum(node.accepted > 0 for node in nodes)),
    }
    if job.best_value is not None:
        tags["metric"] = f"{job.spec.target.metric}={job.best_value:.6g} (round {job.best_round})"
    if job.epsilon is not None and job.spec.privacy is not None:
        tags["epsilon"] = f"{job.epsilon:.6g} at delta {job.spec.privacy.delta:g}"
    return tags


@patient
def _end(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    model_id: ModelId | None,
    error: str | None,
    reason: EndReason | None,
) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.EXPORTING)
        if current is not None and reason is not None:
            ended = replace(current, result_model_id=model_id, result_error=error, reason=reason)
            close_job(uow, now, replace(ended, state=final_state(reason, current.round)))
            uow.commit()
    return True
