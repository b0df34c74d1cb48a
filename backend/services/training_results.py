"""What came of a training job: the file of the model that was registered for it."""

from collections.abc import Iterator

from backend.domain.access import Principal
from backend.domain.errors import NotFound
from backend.services.training_jobs import show_job
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork


def open_result(
    uow: UnitOfWork, objects: ObjectStore, name: str, principal: Principal
) -> tuple[Model, Iterator[bytes]]:
    """The model that a job of the caller ended with, and its file piece by piece.

    Raises NotFound: for the job, or `unknown_result` saying why there is no model.
    """
    job = show_job(uow, name, principal).job
    if job.result_model_id is None:
        why = job.result_error or f"a job that is done: this one is {job.state}"
        raise NotFound("result", f"of {name}", accepted=why)
    with uow.single():
        model = uow.models.find(job.result_model_id)
    assert model is not None  # rows of the registry stay
    try:
        return model, objects.chunks(model.ref.uri)
    except FileNotFoundError as error:
        raise NotFound("model file", name, accepted="`swarmex model register NAME FILE` puts it back") from error
