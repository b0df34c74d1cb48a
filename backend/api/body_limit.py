"""The middleware that keeps request bodies within their limits of size and time."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import errors
from backend.api.limits import BODY_BYTES_MAX, BODY_TIMEOUT_S, UPLOAD_TIMEOUT_S
from backend.domain.files import FILE_BYTES_MAX

UPLOADS = "/v1/files"
UPLOAD_BYTES_MAX = FILE_BYTES_MAX + (1 << 16)  # with what a form has around the file


class BodyLimit:
    """Refuses bodies above BODY_BYTES_MAX (a declared one before it is read) or slower than BODY_TIMEOUT_S.

    Files that are uploaded whole may be larger and slower: they are read as they come, and never held.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = RequestBodyLimitMiddleware(app, max_body_size=BODY_BYTES_MAX)
        self._uploads = RequestBodyLimitMiddleware(app, max_body_size=UPLOAD_BYTES_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = scope["path"] == UPLOADS and scope["method"] == "POST"
        bytes_max = UPLOAD_BYTES_MAX if upload else BODY_BYTES_MAX
        if _declared_bytes(scope) > bytes_max:
            await errors.answer(Request(scope), errors.too_large(bytes_max))(scope, receive, send)
        elif upload:
            await self._uploads(scope, _in_time(receive, UPLOAD_TIMEOUT_S), send)
        else:
            await self._app(scope, _in_time(receive, BODY_TIMEOUT_S), send)


def _in_time(receive: Receive, timeout_s: float) -> Receive:
    """`receive` with a deadline for the body; what comes after it, the client's leaving, may take any time."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {timeout_s:.0f} s") from None
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


def _declared_bytes(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared[:19]) if declared.isdecimal() else 0  # 19 digits of a longer number are too many as well
