"""The middleware that ends every request which is not answered in time, whatever it waits for."""

import asyncio

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import errors
from backend.api.limits import ANSWER_TIMEOUT_S
from backend.domain.errors import Unavailable

log = structlog.get_logger(__name__)


class Deadline:
    """Cancels what has not begun to answer ANSWER_TIMEOUT_S after the last byte that came, and answers 503.

    Bodies have a time limit of their own (`body_limit`); a stream may go on once it has begun.
    The parts have shorter time-outs of their own: this one is for what nobody thought of.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, clock, begun = asyncio.timeout(ANSWER_TIMEOUT_S), asyncio.get_running_loop().time, False

        async def receive_in_time() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not begun and not limit.expired():
                limit.reschedule(clock() + ANSWER_TIMEOUT_S)
            return message

        async def send_in_time(message: Message) -> None:
            nonlocal begun
            if not begun:
                if limit.expired():
                    raise asyncio.CancelledError  # too late: the answer is ours
                begun = True
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self._app(scope, receive_in_time, send_in_time)
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("request_given_up", path=scope["path"], after_s=ANSWER_TIMEOUT_S)
            late = Unavailable(f"not answered within {ANSWER_TIMEOUT_S:.0f} s", code="request_timed_out")
            await errors.answer(Request(scope), late)(scope, receive, send)
