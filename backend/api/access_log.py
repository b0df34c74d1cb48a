"""The outermost layer: each request gets an id and a place in a trace, is counted, timed and logged.

One structured line per request: ids, route, status and duration; never a body, a header or a query.
"""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.request_metrics import CODE_KEY, RequestMetrics
from backend.bootstrap import new_id
from backend.gateway.callers import SCOPE_KEY
from backend.messaging.spans import Kind, entry, recording
from backend.messaging.tracing import REQUEST_ID, TraceContext

log = structlog.get_logger("swarmex.access")

REQUEST_ID_HEADER = b"swarmex-request-id"
TRACE_ID_HEADER = b"swarmex-trace-id"
TRACEPARENT = b"traceparent"
UNMATCHED = "unknown"
QUIET = ("/health", "/v2", "/api/v1/node/work")  # probes and what comes every second: at debug
SERVER_ERROR = 500


class AccessLog:
    """Names each request by an id and by its trace, which its answer and every line logged meanwhile carry too.

    A request that says where it comes from (`traceparent`) belongs to that trace; one that does not begins a new one.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics = self._metrics
        started, status, request_id = time.perf_counter(), SERVER_ERROR, str(new_id())
        method = scope["method"]
        span = entry(method, Kind.SERVER, _parent(scope))
        assert span.context is not None
        trace_id = span.context.trace_id
        headers = ((REQUEST_ID_HEADER, request_id.encode()), (TRACE_ID_HEADER, trace_id.encode()))

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        token = REQUEST_ID.set(request_id)
        metrics.in_flight += 1
        try:
            with span:
                try:
                    await self._app(scope, receive, send_with_ids)
                finally:
                    route = getattr(scope.get("route"), "path", None) or UNMATCHED
                    code = scope.get(CODE_KEY)
                    if recording():
                        span.rename(f"{method} {route}")
                        span.set(http__request__method=method, http__route=route, http__response__status_code=status)
                        span.set(swarmex__request_id=request_id)
                        if status >= SERVER_ERROR:
                            span.fail(code or str(status))
        finally:
            REQUEST_ID.reset(token)
            metrics.in_flight -= 1
            seconds = time.perf_counter() - started
            metrics.answered(route, method, status, seconds, code)
            principal = scope.get(SCOPE_KEY)
            write = log.debug if scope["path"].startswith(QUIET) else log.info
            write(
                "request",
                request_id=request_id,
                trace_id=trace_id,
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1_000, 3),
                caller_account=str(principal.account_id) if principal else None,
                caller_key=str(principal.key_id) if principal else None,
                about={name: str(value) for name, value in scope.get("path_params", {}).items()},
            )


def _parent(scope: Scope) -> TraceContext | None:
    for name, value in scope["headers"]:
        if name == TRACEPARENT:
            return TraceContext.parse(value.decode("latin-1"))
    return None
