"""Models: what can be asked for by name, and what is said of each version."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import Headers

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, Provider
from backend.api.wire.base import Text
from backend.api.wire.models import Alias, Model, ModelChange, ModelList, StageMove
from backend.domain.errors import NotFound
from backend.domain.ids import ModelId
from backend.domain.preconditions import Conditions
from backend.domain.registry import ModelFilter, parse_version
from backend.domain.uploads import digest_header
from backend.services import model_changes, model_files, model_reads, models
from backend.storage.models import Model as StoredModel

router = APIRouter(prefix="/api/v1/models", tags=["models"])
Name = Annotated[Text, Path(description="Its name; `name@alias` where a version is only read.")]
Version = Annotated[Text, Path()]


@router.get("")
def list_models(
    _: Anyone,
    market: Market,
    prefix: Text | None = None,
    tag: Annotated[Text | None, Query(description="`key`, or `key=value`.")] = None,
    stage: Text | None = None,
    datatype: Annotated[Text | None, Query(description="Of one of its inputs.")] = None,
    format: Text | None = None,
    search: Annotated[Text | None, Query(description="In name, tags and description.")] = None,
    limit: Annotated[int, Query(ge=1, le=models.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> ModelList:
    """Versions of models, the newest first."""
    wanted = ModelFilter(prefix, tag, stage, datatype, format, search)
    found = models.search_models(market.uow(), wanted, limit, ModelId(before) if before else None)
    following = found[-1].ref.model_id if len(found) == limit else None
    return ModelList(models=[Model.of(model) for model in found], next_before=following)


@router.get("/by-id/{model_id}", response_model=Model)
def show_by_id(model_id: UUID, _: Anyone, market: Market) -> Response:
    """A version by its id, also one that was deleted: old orders refer to it."""
    return _json(model_reads.show_by_id(market.uow(), market.model_cache, ModelId(model_id), _render))


@router.get("/{name}", response_model=Model)
def show_model(
    name: Name, _: Anyone, market: Market, version: Annotated[int | None, Query(ge=1, lt=2**31)] = None
) -> Response:
    """A model, in its latest version unless one is asked for; `name@alias` is the version that the alias stands for."""
    return _json(model_reads.show_model(market.uow(), market.model_cache, name, version, _render))


@router.get("/{name}/versions/{version}", response_model=Model)
def show_version(name: Name, version: Version, _: Anyone, market: Market) -> Response:
    """One version of a model."""
    return _json(model_reads.show_model(market.uow(), market.model_cache, name, _number(version), _render))


@router.get("/{name}/versions/{version}/file", response_class=Response)
def download(request: Request, name: Name, version: Version, _: Anyone, market: Market) -> Response:
    """The file of a version: all of it, or the `Range` asked for. Its ETag is its SHA-256; conditions may name it."""
    sent = request.headers
    match, none_match = _listed(sent, "if-match"), _listed(sent, "if-none-match")
    asked = Conditions(match, none_match, sent.get("if-range"), sent.get("range"))
    found = model_files.open_file(market.uow(), market.objects, name, _number(version), asked)
    if found.pieces is None:
        return Response(status_code=304, headers=_validators(found))
    return StreamingResponse(found.pieces, 206 if found.part else 200, _facts(found), "application/octet-stream")


@router.post("/{name}/versions/{version}")
def describe(name: Name, version: Version, body: ModelChange, caller: Provider, market: Market, now: Now) -> Model:
    """Change the description and the tags of a version; for its owner."""
    at, said, tags = _number(version), body.description, body.tags
    return Model.of(model_changes.describe(market.uow(), now, caller, name, at, said, tags))


@router.post("/{name}/versions/{version}/stage")
def move_stage(name: Name, version: Version, body: StageMove, caller: Provider, market: Market, now: Now) -> Model:
    """Bring a version to another stage; one at most is in production. For its owner."""
    at, archive = _number(version), body.archive_current
    moved = model_changes.move_stage(market.uow(), now, caller, name, at, body.stage, archive_current=archive)
    return Model.of(moved)


@router.delete("/{name}/versions/{version}")
def delete_model(name: Name, version: Version, caller: Provider, market: Market, now: Now) -> Model:
    """Offer a version to nobody any more; refused while it is in use. For its owner."""
    return Model.of(model_changes.delete_model(market.uow(), now, caller, name, _number(version)))


@router.post("/{name}/versions/{version}/restore")
def restore_model(name: Name, version: Version, caller: Provider, market: Market, now: Now) -> Model:
    """Offer a deleted version again; for its owner."""
    return Model.of(model_changes.restore_model(market.uow(), now, caller, name, _number(version)))


@router.put("/{name}/aliases/{alias}")
def set_alias(name: Name, alias: Text, body: Alias, caller: Provider, market: Market, now: Now) -> Model:
    """Let an alias stand for a version, from now on and at once for everybody; for the name's owner."""
    return Model.of(model_changes.set_alias(market.uow(), now, caller, name, alias, body.version))


@router.delete("/{name}/aliases/{alias}", status_code=204)
def drop_alias(name: Name, alias: Text, caller: Provider, market: Market, now: Now) -> None:
    """Let an alias stand for nothing; for the name's owner."""
    model_changes.drop_alias(market.uow(), now, caller, name, alias)


def _render(model: StoredModel) -> bytes:
    return Model.of(model).model_dump_json().encode()


def _facts(found: model_files.Opened) -> dict[str, str]:
    part = found.part
    told = {"Content-Length": str(part.end - part.start if part else found.model.size_bytes)}
    return _validators(found) | told | ({"Content-Range": part.header} if part else {})


def _validators(found: model_files.Opened) -> dict[str, str]:
    return {"ETag": found.tag, "Accept-Ranges": "bytes", "Repr-Digest": digest_header(found.model.ref.checksum)}


def _listed(sent: Headers, name: str) -> str | None:
    """A header that is a list, which may come in several lines."""
    return ", ".join(sent.getlist(name)) or None


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _number(version: str) -> int:
    number = parse_version(version)
    if number is None:
        raise NotFound("model version", version[:60], field="version")
    return number
