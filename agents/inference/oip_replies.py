"""A node's answers and refusals, as the Open Inference Protocol writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agents.engines.base import InferenceFailed
from agents.inference.admission import Draining, Full
from backend.domain.errors import Invalid, NotFound, SwarmexError, TooLarge, Unavailable
from backend.gateway.oip.tensor_reply import TensorReply

AGAIN = {"Retry-After": "1"}

log = structlog.get_logger(__name__)


async def no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_reply({"error": f"no {request.method} {request.url.path[:100]} here"}, error.status_code)


def error_reply(error: Exception) -> Response:
    if isinstance(error, Full):
        return json_reply({"error": "all places are taken"}, 429, AGAIN)
    if isinstance(error, Draining):
        return json_reply({"error": "the node is draining"}, 503, AGAIN)
    if not isinstance(error, SwarmexError):
        log.error("oip.broke", error=repr(error), exc_info=error)
        return json_reply({"error": "the model broke"}, 500)
    text = f"{error.field}: {error.message}" if error.field else error.message
    if error.accepted:
        text += f" (accepted: {error.accepted})"
    return json_reply({"error": text}, _status(error), AGAIN if isinstance(error, Unavailable) else None)


def _status(error: SwarmexError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, Invalid):
        return 400
    # The rest is the node's fault: what it holds cannot be run, so another node may do better.
    return 500 if isinstance(error, InferenceFailed) else 503


def tensor_reply(answer: Mapping[str, Any], buffers: list[memoryview], headers: Mapping[str, str]) -> Response:
    """JSON, and the raw buffers after it where there are any."""
    if not buffers:
        return json_reply(answer, headers=headers)
    return TensorReply(orjson.dumps(answer), buffers, headers)


def json_reply(
    body: Mapping[str, Any] | Sequence[Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
