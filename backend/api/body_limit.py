"""The middleware that keeps request bodies within their limits of size and time."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import errors
from backend.api.limits import BODY_BYTES_MAX, BODY_TIMEOUT_S


class BodyLimit:
    """Refuses bodies above BODY_BYTES_MAX (a declared one before it is read) or slower than BODY_TIMEOUT_S."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = RequestBodyLimitMiddleware(app, max_body_size=BODY_BYTES_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_bytes(scope) > BODY_BYTES_MAX:
            await errors.answer(Request(scope), errors.too_large())(scope, receive, send)
        else:
            await self._app(scope, _in_time(receive), send)


def _in_time(receive: Receive) -> Receive:
    """`receive` with a deadline for the body; what comes after it, the client's leaving, may take any time."""
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


def _declared_bytes(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared[:19]) if declared.isdecimal() else 0  # 19 digits of a longer number are too many as well
