"""Files as OpenAI's clients send and read them: inputs of batches, and their outputs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from backend.api.dependencies import Market, Now, gateway_of
from backend.api.multipart import FORM_BYTES_MAX, declared_bytes, received
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.batches import REFUSALS, File, FileDeleted, FileList, content_path
from backend.domain.access import Principal, Role
from backend.domain.files import parse_expiry
from backend.domain.links import check_link
from backend.gateway.callers import reader
from backend.gateway.gateway import Gateway
from backend.services import files

router = APIRouter(prefix="/v1/files", tags=["batches"], responses=REFUSALS)

_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "purpose"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "purpose": {"type": "string", "enum": ["batch"]},
                    "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                    "expires_after[seconds]": {"type": "integer"},
                },
            }
        }
    },
}


async def _reader(
    request: Request,
    file_id: Text,
    gateway: Annotated[Gateway, Depends(gateway_of)],
    market: Market,
    now: Now,
    expires: Annotated[int | None, Query(ge=0, lt=2**40)] = None,
    signature: Annotated[Text | None, Query()] = None,
) -> Principal | None:
    """Who reads a file's content: a caller with a key, or None who came by a link that was signed for it."""
    if signature is None or expires is None:
        return await reader(gateway.keys, gateway.rates, request)
    secret = await run_in_threadpool(lambda: market.link_secret)  # which asks the database once
    check_link(secret, content_path(file_id), expires, signature, now)
    return None


@router.post("", openapi_extra={"requestBody": _FORM})
async def upload_file(request: Request, caller: Anyone, market: Market, now: Now) -> File:
    """Keep a file; `purpose` is `batch`. It expires after 30 days, or after `expires_after[seconds]`."""
    at_least = max(1, declared_bytes(request) - FORM_BYTES_MAX)
    await run_in_threadpool(files.ask_room, market.uow(), caller, at_least)  # before anything is written anywhere
    async with received(request, str(caller.account_id)) as form:
        purpose, stays = form.need("purpose"), parse_expiry(form.fields.get("expires_after[seconds]"))
        kept = await run_in_threadpool(
            files.upload, market.uow(), now, market.objects, caller, form.path, form.sent_as(), purpose, stays
        )
    return File.of(kept)


@router.get("")
def list_files(
    caller: Anyone,
    market: Market,
    now: Now,
    purpose: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=files.LIST_MAX)] = files.LIST_MAX,
    order: Literal["asc", "desc"] = "desc",
    after: Text | None = None,
) -> FileList:
    """The caller's files, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    ascending = order == "asc"
    return FileList.of(files.list_files(market.uow(), now, account, purpose, limit, after, ascending=ascending))


@router.get("/{file_id}")
def show_file(file_id: Text, caller: Anyone, market: Market, now: Now) -> File:
    """One file."""
    return File.of(files.show_file(market.uow(), now, file_id, caller))


@router.get("/{file_id}/content", response_class=StreamingResponse)
def read_file(
    file_id: Text, reader: Annotated[Principal | None, Depends(_reader)], market: Market, now: Now
) -> StreamingResponse:
    """What is in a file; with a key, or without one by a signed link (`expires` and `signature`)."""
    file, content = files.read_file(market.uow(), now, market.objects, file_id, reader)
    return StreamingResponse(
        content, media_type="application/octet-stream", headers={"Content-Length": str(file.size_bytes)}
    )


@router.delete("/{file_id}")
def delete_file(file_id: Text, caller: Anyone, market: Market, now: Now) -> FileDeleted:
    """Delete a file; not while a batch reads it."""
    files.delete_file(market.uow(), now, file_id, caller)
    return FileDeleted(id=file_id)
