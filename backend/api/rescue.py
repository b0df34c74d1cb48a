"""The last catch: a bug is logged with the request's id and answered in the envelope, and the connection lives on."""

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import errors

log = structlog.get_logger(__name__)


class Rescue:
    """Answers 500 when the application fails before it has answered; afterwards only the server can hang up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            log.exception("request_failed", path=scope["path"])
            await errors.failed(Request(scope))(scope, receive, send)
