"""The model registry: what can be asked for by name, and how a file gets a version."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, shown
from backend.domain.ids import ModelId
from backend.domain.registry import Format, ModelFilter, check_model_name, split_reference
from backend.domain.remote_models import is_remote
from backend.domain.tensors import Signature
from backend.domain.work import ModelRef, Profile
from backend.services.log import record
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

CHANGED_MODELS = "models"
LIST_MAX = 500
HEAD_BYTES = 64

Versions = dict[int, Model]
Inspect = Callable[[Path], tuple[Signature, Profile]]


def register_model(
    uow: UnitOfWork,
    now: datetime,
    objects: ObjectStore,
    name: str,
    path: Path,
    principal: Principal | None = None,
    inspect: Inspect | None = None,
) -> Model:
    """Open, measure, store and record a model file as the next version of `name`.

    A file that is registered under that name already gives the version that it has. Raises Invalid, Forbidden for
    somebody else's name, Conflict(`model_deleted`) for a file whose version was deleted. `inspect` is how the
    file is looked into: in this process, unless another way is given.
    """
    from backend.services import onnx_models  # slow to import, and only needed here

    check_model_name(name)
    checksum = onnx_models.checksum_of(path)
    with uow:  # first: whoever may not, or need not, pays for no inspection
        found = _registered(uow.models.versions([name], deleted=True).get(name, {}), name, checksum, principal)
    if found is None:
        signature, profile = (inspect or onnx_models.inspect_trusted)(path)
    uri = f"models/{checksum}.onnx"
    _store(objects, path, uri, checksum)  # which may have lost or damaged it
    if found is not None:
        return found
    with uow:
        uow.models.lock_name(name)
        versions = uow.models.versions([name], deleted=True).get(name, {})
        if (found := _registered(versions, name, checksum, principal)) is not None:
            return found
        ref = ModelRef(ModelId(new_id()), name, max(versions, default=0) + 1, checksum, uri, signature)
        model = Model(ref, path.stat().st_size, profile, now, _format(path))
        uow.models.add(model)
        facts = {"name": name, "version": ref.version, "checksum": checksum}
        changed(uow, now, principal, "model.register", model, [*versions.values(), model], **facts)
        uow.commit()
    return model


def changed(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    action: str,
    model: Model,
    versions: Iterable[Model],
    **facts: object,
) -> None:
    """Record a change to a version in an open unit of work, and let no cache show what was; `versions` are all."""
    name = model.ref.name
    owner = principal.account_id if principal and principal.key_id else None
    revision = uow.models.touch(name, owner)
    record(uow, now, principal, action, f"model {model.ref.model_id}", **{"name": name, **facts})
    uow.changes.bump(CHANGED_MODELS)
    uow.outdate(name, revision)
    for version in versions:
        uow.outdate(by_id_key(version.ref.model_id), revision)


def by_id_key(model_id: ModelId) -> str:
    """What a cache calls a version that is asked for by its id; no name has a colon."""
    return f"id:{model_id}"


def require_owner(principal: Principal | None, versions: Versions, name: str) -> None:
    """Raise Forbidden(`not_the_owner`) unless the caller may change what is there of a name."""
    if principal is None or principal.role is Role.ADMIN or not versions:
        return
    if next(iter(versions.values())).owner_id != principal.account_id:
        raise Forbidden(
            f"the name {name} is somebody else's",
            code="not_the_owner",
            field="name",
            accepted="a name that is free or your own, or an admin's key",
        )


def list_models(uow: UnitOfWork) -> list[Model]:
    """All models that can be asked for, by name and version."""
    with uow:
        return [model for model in uow.models.all() if model.deleted_at is None]


def search_models(
    uow: UnitOfWork, wanted: ModelFilter | None = None, limit: int = 100, before: ModelId | None = None
) -> list[Model]:
    """The newest versions that fit a filter; `before` continues below an id. Raises Invalid."""
    wanted = wanted or ModelFilter()
    wanted.check()
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.models.newest(wanted, limit, before)


def get_model(uow: UnitOfWork, name: str, version: int | None = None) -> Model:
    """A model by name or `name@alias`, the latest version unless one is named; raises NotFound."""
    with uow.single():
        found = uow.models.versions([name])
    return choose(found, name, version)


def choose(found: dict[str, Versions], reference: str, version: int | None, *, trainer: bool = False) -> Model:
    """The version asked for among those found; raises NotFound saying which there are.

    A name without more means its latest version; `name@alias` the one that the alias stands for, and then no version
    may be named too: Invalid(`alias_and_version`). What is not served by itself, a trainer, is Invalid(`not_servable`)
    unless a `trainer` is asked for.
    """
    model = _choose(found, reference, version)
    if model.format is Format.TRAINER and not trainer:
        raise Invalid(
            f"{shown(reference)} is a trainer",
            code="not_servable",
            field="model",
            accepted="the name of a registered model (`GET /api/v1/models`); trainers: POST /api/v1/training-jobs",
        )
    return model


def _choose(found: dict[str, Versions], reference: str, version: int | None) -> Model:
    name, alias = split_reference(reference)
    versions = found.get(name)
    if not versions:
        raise NotFound(
            "model",
            name[:60],
            field="model",
            accepted="the name of a registered model (`GET /api/v1/models`)",
        )
    if alias is not None:
        if version is not None:
            raise Invalid(
                f"{shown(reference)} says which version, and so does {version}",
                code="alias_and_version",
                field="model",
                accepted="a name with an alias, or a name and a version",
            )
        return _aliased(versions, alias)
    if version is None:
        return versions[max(versions)]
    if version not in versions:
        raise NotFound("model version", version, accepted=_listed(versions))
    return versions[version]


def _aliased(versions: Versions, alias: str) -> Model:
    for model in versions.values():
        if alias in model.aliases:
            return model
    known = sorted(word for model in versions.values() for word in model.aliases)
    raise NotFound("model alias", alias[:60], field="model", accepted=", ".join(known) or "none: there is no alias")


def _registered(versions: Versions, name: str, checksum: str, principal: Principal | None) -> Model | None:
    """The version that has this file already; raises Forbidden, or Conflict when that version was deleted."""
    for model in versions.values():
        if model.ref.checksum == checksum:
            if model.deleted_at is not None:
                raise Conflict(
                    f"this file is version {model.ref.version} of {name}, which was deleted",
                    code="model_deleted",
                    field="file",
                    accepted=f"another file; or restore version {model.ref.version}",
                )
            return model
    require_owner(principal, versions, name)
    return None


def _format(path: Path) -> Format:
    with path.open("rb") as file:
        return Format.REMOTE if is_remote(file.read(HEAD_BYTES)) else Format.ONNX


def _store(objects: ObjectStore, path: Path, uri: str, checksum: str) -> None:
    """Store a model's file, also in the place of one that is not what its key says."""
    objects.put_file(path, uri, replace=objects.exists(uri) and objects.checksum(uri) != checksum)


def _listed(versions: Iterable[int]) -> str:
    return ", ".join(str(version) for version in sorted(versions))
