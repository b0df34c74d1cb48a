"""Uploads of model files: chunks of at most 4 MiB, each with its digest, to be gone on with after any interruption."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from backend.api.dependencies import Market, Now
from backend.api.security import Provider
from backend.api.wire.models import Model, NewUpload, Upload
from backend.domain.ids import UploadId
from backend.domain.uploads import CHUNK_BYTES_MAX, DIGEST_HEADER
from backend.services import model_uploads

router = APIRouter(prefix="/api/v1/models/uploads", tags=["models"])
CHUNK = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": f"At most {CHUNK_BYTES_MAX} bytes, whose SHA-256 is in `{DIGEST_HEADER}: sha-256=:…:`.",
        "required": True,
    }
}


@router.post("", status_code=201)
def begin(body: NewUpload, caller: Provider, market: Market, now: Now) -> Upload:
    """Begin to upload a file; the same file again is answered with the upload that is open, and how far it is."""
    model_uploads.expire_uploads(market.uow(), now, market.objects)  # here too: not every agent has the store
    uow, name, size = market.uow(), body.name, body.size_bytes
    return Upload.of(model_uploads.begin_upload(uow, now, caller, name, size, body.sha256))


@router.get("/{upload_id}")
def show(upload_id: UUID, caller: Provider, market: Market) -> Upload:
    """How far an upload is."""
    return Upload.of(model_uploads.show_upload(market.uow(), caller, UploadId(upload_id)))


@router.put("/{upload_id}", openapi_extra=CHUNK)
async def put_chunk(
    upload_id: UUID,
    request: Request,
    caller: Provider,
    market: Market,
    now: Now,
    offset: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Upload:
    """Send the chunk that begins at `offset`; a repeat changes nothing, a wrong offset is told the right one."""
    body, digest = await request.body(), request.headers.get(DIGEST_HEADER)
    id, objects = UploadId(upload_id), market.objects
    taken = await run_in_threadpool(
        lambda: model_uploads.put_chunk(market.uow(), now, caller, objects, id, offset, body, digest)
    )
    return Upload.of(taken)


@router.post("/{upload_id}/complete", status_code=201)
def complete(upload_id: UUID, caller: Provider, market: Market, now: Now) -> Model:
    """Compare the checksum of the whole, open the file, and register it as the next version of its name."""
    id = UploadId(upload_id)
    return Model.of(model_uploads.complete_upload(market.uow(), now, caller, market.objects, id))


@router.delete("/{upload_id}", status_code=204)
def abandon(upload_id: UUID, caller: Provider, market: Market, now: Now) -> None:
    """Give an upload up; nothing of it is kept."""
    model_uploads.abandon_upload(market.uow(), now, caller, market.objects, UploadId(upload_id))
