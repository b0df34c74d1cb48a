"""Changes to registered models: aliases, stages, tags, descriptions, deletion. Each one is logged, and seen at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal
from backend.domain.errors import Conflict, NotFound
from backend.domain.registry import (
    ALIASES_MAX,
    Format,
    Stage,
    check_alias,
    check_description,
    check_move,
    merge_tags,
    parse_stage,
)
from backend.services.models import Versions, changed, require_owner
from backend.storage.models import Model
from backend.storage.unit_of_work import UnitOfWork


def set_alias(
    uow: UnitOfWork, now: datetime, principal: Principal | None, name: str, alias: str, version: int
) -> Model:
    """Let an alias stand for a version from now on, whatever it stood for.

    Raises NotFound, Invalid, Forbidden, Conflict(`too_many_aliases`).
    """
    check_alias(alias)
    with uow:
        versions = _locked(uow, principal, name)
        model = _offered(versions, name, version)
        if alias in model.aliases:
            return model
        held = next((other for other in versions.values() if alias in other.aliases), None)
        if held is None and sum(len(other.aliases) for other in versions.values()) >= ALIASES_MAX:
            raise Conflict(
                f"{name} has {ALIASES_MAX} aliases",
                code="too_many_aliases",
                field="alias",
                accepted="one of those that there are, or delete one first",
            )
        uow.models.point(name, alias, version)
        facts = {"alias": alias, "version": version, "was": held and held.ref.version}
        changed(uow, now, principal, "model.alias", model, versions.values(), **facts)
        uow.commit()
    return replace(model, aliases=tuple(sorted((*model.aliases, alias))))


def drop_alias(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str, alias: str) -> None:
    """Let an alias stand for nothing; raises NotFound, Forbidden."""
    with uow:
        versions = _locked(uow, principal, name)
        model = next((held for held in versions.values() if alias in held.aliases), None)
        if model is None:
            raise NotFound("model alias", alias[:60], field="alias")
        uow.models.forget_alias(name, alias)
        facts = {"alias": alias, "version": model.ref.version}
        changed(uow, now, principal, "model.unalias", model, versions.values(), **facts)
        uow.commit()


def describe(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    name: str,
    version: int,
    description: str | None = None,
    tags: Mapping[str, str | None] | None = None,
) -> Model:
    """Change what is said of a version; a tag that is None is taken away. Raises NotFound, Invalid, Forbidden."""
    with uow:
        versions = _locked(uow, principal, name)
        model = _offered(versions, name, version)
        said = model.description if description is None else check_description(description)
        merged = merge_tags(model.tags, tags or {})
        uow.models.write(model.ref.model_id, description=said, tags=merged)
        facts = {"version": version, "tags": merged, "described": said != model.description}
        changed(uow, now, principal, "model.describe", model, versions.values(), **facts)
        uow.commit()
    return replace(model, description=said, tags=merged)


def move_stage(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    name: str,
    version: int,
    stage: str,
    *,
    archive_current: bool = False,
) -> Model:
    """Bring a version to a stage. One at most is in production: Conflict(`production_taken`) names the other.

    With `archive_current` the other is archived in the same moment. Raises NotFound, Invalid, Forbidden, Conflict.
    """
    to = parse_stage(stage)
    with uow:
        versions = _locked(uow, principal, name)
        model = _offered(versions, name, version)
        if model.stage is to:
            return model
        check_move(model.stage, to)
        archived = _make_way(uow, versions, archive_current=archive_current) if to is Stage.PRODUCTION else None
        uow.models.write(model.ref.model_id, stage=to)
        facts = {"version": version, "stage": to, "was": model.stage, "archived": archived}
        changed(uow, now, principal, "model.stage", model, versions.values(), **facts)
        uow.commit()
    return replace(model, stage=to)


def delete_model(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str, version: int) -> Model:
    """Offer a version to nobody any more; it stays for old orders, its number and name are never used again.

    Raises NotFound, Forbidden, and Conflict(`model_in_use`) while an order of it is open, an alias stands for it or it
    is in production.
    """
    with uow:
        versions = _locked(uow, principal, name)
        model = _offered(versions, name, version)
        _check_unused(uow, model)
        uow.models.write(model.ref.model_id, deleted_at=now)
        changed(uow, now, principal, "model.delete", model, versions.values(), version=version)
        uow.commit()
    return replace(model, deleted_at=now)


def restore_model(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str, version: int) -> Model:
    """Offer a deleted version again; nothing happens to one that is offered. Raises NotFound, Forbidden."""
    with uow:
        versions = _locked(uow, principal, name)
        model = versions.get(version)
        if model is None:
            raise NotFound("model version", version)
        if model.deleted_at is None:
            return model
        uow.models.write(model.ref.model_id, deleted_at=None)
        changed(uow, now, principal, "model.restore", model, versions.values(), version=version)
        uow.commit()
    return replace(model, deleted_at=None)


def _locked(uow: UnitOfWork, principal: Principal | None, name: str) -> Versions:
    """All versions of a name, also deleted ones, which nobody else changes until the transaction ends."""
    uow.models.lock_name(name)
    versions = uow.models.versions([name], deleted=True).get(name, {})
    if not versions or any(model.format is Format.TRAINER for model in versions.values()):
        raise NotFound("model", name[:60], accepted="the name of a registered model (`GET /api/v1/models`)")
    require_owner(principal, versions, name)
    return versions


def _offered(versions: Versions, name: str, version: int) -> Model:
    model = versions.get(version)
    if model is None or model.deleted_at is not None:
        offered = [str(number) for number, found in sorted(versions.items()) if found.deleted_at is None]
        raise NotFound("model version", version, accepted=", ".join(offered) or f"none: {name} is deleted")
    return model


def _make_way(uow: UnitOfWork, versions: Versions, *, archive_current: bool) -> int | None:
    """Archive the version in production, if there is one; returns its number."""
    for number, model in versions.items():
        if model.stage is Stage.PRODUCTION and model.deleted_at is None:
            if not archive_current:
                raise Conflict(
                    f"version {number} is in production",
                    code="production_taken",
                    field="stage",
                    accepted="archive_current, which archives it in the same moment",
                )
            uow.models.write(model.ref.model_id, stage=Stage.ARCHIVED)
            return number
    return None


def _check_unused(uow: UnitOfWork, model: Model) -> None:
    name, version = model.ref.name, model.ref.version
    if model.aliases:
        why, accepted = f"{', '.join(model.aliases)} stands for it", "move or delete its aliases first"
    elif model.stage is Stage.PRODUCTION:
        why, accepted = "it is in production", "move it to archived first"
    elif orders := uow.models.open_orders(model.ref.model_id):
        open_ones = "an order of it is" if orders == 1 else f"{orders} orders of it are"
        why, accepted = f"{open_ones} open", "wait for them, or cancel them; sessions end soon after their last use"
    elif batches := uow.batch_chunks.batches_waiting_for(name, version):
        waiting = "a batch has" if batches == 1 else f"{batches} batches have"
        why, accepted = f"{waiting} requests of it to run", "wait for them, or cancel them"
    else:
        return
    raise Conflict(
        f"version {version} of {name} is in use: {why}", code="model_in_use", field="version", accepted=accepted
    )
