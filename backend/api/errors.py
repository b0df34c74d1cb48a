"""What a refusal looks like on the wire, and the one table from error families to HTTP statuses.

`/api/v1` answers `{"error": {"code", "message", "field", "accepted"}}`; `/v1` as OpenAI's clients want it,
`{"error": {"message", "type", "param", "code"}}`; `/v2` as the Open Inference Protocol wants it, `{"error": "…"}`,
with the code in the header `Swarmex-Error-Code`.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backend.api import validation
from backend.api.limits import BODY_BYTES_MAX
from backend.api.request_metrics import CODE_KEY
from backend.api.wire.errors import ErrorBody
from backend.domain import errors
from backend.domain.byte_ranges import RangeUnsatisfiable
from backend.domain.preconditions import PreconditionFailed
from backend.gateway.errors import Busy, InvalidJson

STATUS: Mapping[type[errors.SwarmexError], int] = {
    errors.Invalid: 422,
    InvalidJson: 400,
    errors.TooLarge: 413,
    RangeUnsatisfiable: 416,
    errors.Unauthenticated: 401,
    errors.InsufficientFunds: 402,
    errors.BudgetExceeded: 402,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    PreconditionFailed: 412,
    errors.Conflict: 409,
    errors.ChecksumMismatch: 409,
    Busy: 429,
    errors.Unavailable: 503,
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    422: {"model": ErrorBody, "description": "The input cannot be right; nothing was written."},
    "4XX": {"model": ErrorBody, "description": "Refused; nothing was written."},
    503: {"model": ErrorBody, "description": "Try again after Retry-After seconds."},
}
PROTOCOL_STATUS: Mapping[type[errors.SwarmexError], int] = {**STATUS, errors.InvalidTensor: 400}
PROTOCOL_PREFIX = "/v2"
OPENAI_PREFIX = "/v1/"
RETRY_AFTER_S = 1
RETRIED = (408, 429, 503)
ERROR_CODE_HEADER = "Swarmex-Error-Code"
HTTP_CODES = {400: "invalid_json", 404: "unknown_route", 405: "method_not_allowed", 408: "body_too_slow"}


def install(app: FastAPI) -> None:
    """Make every failure of `app` answer in the envelope, also those of the framework."""
    app.add_exception_handler(errors.SwarmexError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def status_of(error: errors.SwarmexError, table: Mapping[type[errors.SwarmexError], int] = STATUS) -> int:
    """The status of the nearest family in `table`; 500 for an error that belongs to none."""
    return next((table[family] for family in type(error).__mro__ if family in table), 500)


def envelope(code: str, message: str, field: str | None = None, accepted: str | None = None) -> dict[str, Any]:
    """The body of a refusal."""
    return {"error": {"code": code, "message": message, "field": field, "accepted": accepted}}


def answer(request: Request, error: errors.SwarmexError) -> Response:
    """The response to a request that `error` ended, in the words of the protocol it came by."""
    protocol = request.scope["path"].startswith(PROTOCOL_PREFIX)
    status = status_of(error, PROTOCOL_STATUS if protocol else STATUS)
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return _render(request, status, envelope(error.code, error.message, error.field, error.accepted), headers)


class BodyTooLarge(HTTPException):
    """More of a body came than its route takes; as the framework's own, which alone passes through its parsers."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413)
        self.bytes_max = bytes_max


def too_large(bytes_max: int) -> errors.TooLarge:
    """The refusal of a body above the limit."""
    return errors.TooLarge("the body is too large", field="body", accepted=f"at most {bytes_max} bytes")


def failed(request: Request) -> Response:
    """The answer to a request that hit a bug: nothing of the inside is told."""
    return _render(request, 500, envelope("internal_error", "the server failed; the request may be tried again"), {})


def rejected(request: Request, error: HTTPException) -> Response:
    """The response to a request that the framework, or what stands before it, refused."""
    if error.status_code == 413:
        return answer(request, too_large(error.bytes_max if isinstance(error, BodyTooLarge) else BODY_BYTES_MAX))
    code = HTTP_CODES.get(error.status_code, f"http_{error.status_code}")
    return _render(request, error.status_code, envelope(code, str(error.detail)), dict(error.headers or {}))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.SwarmexError)
    return answer(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(request, validation.translate(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return rejected(request, error)


def _render(request: Request, status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    request.scope[CODE_KEY] = body["error"]["code"]
    if status in (408, 413):
        headers["Connection"] = "close"  # what is on its way of the body will not be read
    if request.scope["path"].startswith(OPENAI_PREFIX):
        headers["X-Should-Retry"] = "true" if status in RETRIED else "false"  # its clients would repeat any 409
        body = openai_envelope(status, **body["error"])
    elif request.scope["path"].startswith(PROTOCOL_PREFIX):
        headers[ERROR_CODE_HEADER] = body["error"]["code"]
        body = {"error": _sentence(**body["error"])}
    return JSONResponse(body, status, headers)


def openai_envelope(status: int, code: str, message: str, field: str | None, accepted: str | None) -> dict[str, Any]:
    """A refusal as OpenAI's clients read it."""
    kinds = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    told = message + (f" (accepted: {accepted})" if accepted else "")
    return {"error": {"message": told, "type": kind, "param": field, "code": code}}


def _sentence(code: str, message: str, field: str | None, accepted: str | None) -> str:
    where = f"{field}: " if field else ""
    wanted = f" (accepted: {accepted})" if accepted else ""
    return f"{where}{message}{wanted}" or code
