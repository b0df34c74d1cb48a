"""Real-time requests of remote nodes, which nobody can dial: they are fetched and answered in small batches."""

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.node_side import RemoteNode, Side
from backend.api.wire.node_work import Answered, RequestPoll
from backend.domain.mail import ANSWER_BYTES_MAX, LETTERS_MAX, pack_requests, unpack_answers
from backend.gateway.disconnects import ClientGone, while_connected

router = APIRouter(prefix="/api/v1/node/work/requests", tags=["remote nodes"])
BINARY = "application/octet-stream"
_CONTENT = {BINARY: {"schema": {"type": "string", "format": "binary"}}}
MESSAGE: dict[str, Any] = {
    "requestBody": {
        "content": _CONTENT,
        "description": f"At most {LETTERS_MAX} answers, their bodies of {ANSWER_BYTES_MAX} bytes at most together:"
        " the length of the head in four bytes, big-endian, the head as JSON, and the bodies one after the other.",
        "required": True,
    }
}


@router.post("/poll", response_class=Response, responses={200: {"content": _CONTENT}})
async def poll(request: Request, body: RequestPoll, node: RemoteNode, side: Side) -> Response:
    """Wait for real-time requests; answered when there are some, or without any after `wait_s`."""
    try:
        found = await while_connected(request.scope, side.requests.fetch(node.node_id, body.places, body.wait_s))
    except ClientGone:
        found = []  # to nobody
    return Response(pack_requests(found), media_type=BINARY)


@router.post("/answer", openapi_extra=MESSAGE)
async def answer(request: Request, node: RemoteNode, side: Side) -> Answered:
    """Bring answers; those to requests that the node did not fetch, or answered before, count for nothing."""
    answers = unpack_answers(await request.body())
    return Answered(answered=await side.mailbox.answer(node.node_id, answers))
