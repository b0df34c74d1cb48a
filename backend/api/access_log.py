"""One structured line per request: ids, route, status and duration; never a body, a header or a query."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.bootstrap import new_id
from backend.gateway.callers import SCOPE_KEY

log = structlog.get_logger("swarmex.access")

REQUEST_ID_HEADER = b"swarmex-request-id"
QUIET = ("/health", "/v2", "/api/v1/node/work")  # probes and what comes every second: at debug


class AccessLog:
    """Names each request by an id, which the answer carries too, and logs it when it is done."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 500, str(new_id())

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            principal = scope.get(SCOPE_KEY)
            write = log.debug if scope["path"].startswith(QUIET) else log.info
            write(
                "request",
                request_id=request_id,
                method=scope["method"],
                route=getattr(scope.get("route"), "path", None) or "unknown",
                status=status,
                ms=round((time.perf_counter() - started) * 1_000, 3),
                caller_account=str(principal.account_id) if principal else None,
                caller_key=str(principal.key_id) if principal else None,
                about={name: str(value) for name, value in scope.get("path_params", {}).items()},
            )
