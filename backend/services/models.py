"""The model registry: what can be asked for by name."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from backend.domain.access import Principal
from backend.domain.errors import NotFound
from backend.domain.ids import ModelId
from backend.domain.nodes import check_name
from backend.domain.work import ModelRef
from backend.services.log import record
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

CHANGED_MODELS = "models"


def register_model(
    uow: UnitOfWork, now: datetime, objects: ObjectStore, name: str, path: Path, principal: Principal | None = None
) -> Model:
    """Open, measure, store and record a model file as the next version of `name`.

    A file that is registered under that name already gives the version that it has. Raises Invalid.
    """
    from backend.services.onnx_models import checksum_of, inspect  # slow to import, and only needed here

    check_name(name)
    checksum = checksum_of(path)
    with uow:
        uow.models.lock_name(name)
        versions = uow.models.versions([name]).get(name, {})
        for model in versions.values():
            if model.ref.checksum == checksum:
                _store(objects, path, model.ref.uri, checksum)  # which may have lost or damaged it
                return model
        signature, profile = inspect(path)
        uri = f"models/{checksum}.onnx"
        _store(objects, path, uri, checksum)
        ref = ModelRef(ModelId(new_id()), name, max(versions, default=0) + 1, checksum, uri, signature)
        model = Model(ref, path.stat().st_size, profile, now)
        uow.models.add(model)
        record(uow, now, principal, "model.register", f"model {ref.model_id}", name=name, version=ref.version)
        uow.changes.bump(CHANGED_MODELS)
        uow.commit()
    return model


def _store(objects: ObjectStore, path: Path, uri: str, checksum: str) -> None:
    """Store a model's file, also in the place of one that is not what its key says."""
    objects.put_file(path, uri, replace=objects.exists(uri) and objects.checksum(uri) != checksum)


def list_models(uow: UnitOfWork) -> list[Model]:
    """All models, by name and version."""
    with uow:
        return uow.models.all()


def get_model(uow: UnitOfWork, name: str, version: int | None = None) -> Model:
    """A model by name, the latest version unless one is named; raises NotFound."""
    with uow:
        return choose(uow.models.versions([name]), name, version)


def choose(found: dict[str, dict[int, Model]], name: str, version: int | None) -> Model:
    """The version asked for among those found; raises NotFound saying which there are."""
    versions = found.get(name)
    if not versions:
        raise NotFound(
            "model",
            name[:60],
            field="model",
            accepted="the name of a registered model (`GET /api/v1/models`)",
        )
    if version is None:
        return versions[max(versions)]
    if version not in versions:
        raise NotFound("model version", version, accepted=_listed(versions))
    return versions[version]


def _listed(versions: Iterable[int]) -> str:
    return ", ".join(str(version) for version in sorted(versions))
