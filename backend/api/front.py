"""What every request passes: it gets an id and a place in a trace, is bounded, answered whatever happens, and counted.

One layer for all of it, since each layer of its own costs every request some ten microseconds.
"""

import time

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api import access_log, errors
from backend.api.exchange import Exchange
from backend.api.limits import BODY_TIMEOUT_S, UPLOAD_TIMEOUT_S
from backend.api.request_metrics import CODE_KEY, RequestMetrics
from backend.bootstrap import new_id
from backend.domain.errors import Unavailable
from backend.domain.rates import body_tokens
from backend.gateway.callers import VISIT_KEY
from backend.gateway.deadlines import Deadlines
from backend.gateway.oip.protocol import CLIENT_GONE_STATUS
from backend.messaging.spans import Kind, Span, entry, recording
from backend.messaging.tracing import REQUEST_ID, TraceContext

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = b"swarmex-request-id"
TRACE_ID_HEADER = b"swarmex-trace-id"
TRACEPARENT = b"traceparent"
UNMATCHED = "unknown"


class Front:
    """Names each request by an id and by its trace, which its answer and every line logged meanwhile carry too.

    A request that says where it comes from (`traceparent`) belongs to that trace; one that does not begins a new one.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._deadlines: Deadlines | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics = self._metrics
        started, request_id = time.perf_counter(), str(new_id())
        method = scope["method"]
        span = entry(method, Kind.SERVER, _parent(scope))
        assert span.context is not None
        trace_id = span.context.trace_id
        labels = [(REQUEST_ID_HEADER, request_id.encode()), (TRACE_ID_HEADER, trace_id.encode())]
        if self._deadlines is None or not self._deadlines.here:  # the first request: now there is an event loop
            self._deadlines = Deadlines()
        exchange = Exchange(scope, receive, send, labels, self._deadlines)
        token = REQUEST_ID.set(request_id)
        metrics.in_flight += 1
        try:
            with span:
                try:
                    await self._answer(scope, exchange)
                finally:
                    route = getattr(scope.get("route"), "path", None) or UNMATCHED
                    if recording():
                        _tell(span, scope, route, exchange.status, request_id)
        finally:
            REQUEST_ID.reset(token)
            metrics.in_flight -= 1
            if (visit := scope.get(VISIT_KEY)) is not None:
                # A body that came in chunks, and so did not declare its length, is charged when it is over.
                visit.charge(body_tokens(exchange.body_bytes if exchange.chunked else 0) - 1)
                visit.leave()
            seconds = time.perf_counter() - started
            metrics.answered(route, method, exchange.status, seconds, scope.get(CODE_KEY))
            access_log.write(scope, request_id, trace_id, route, exchange.status, seconds)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        if exchange.oversize:
            response = errors.answer(Request(scope), errors.too_large(exchange.bytes_max))
        else:
            try:
                with exchange.limit:
                    await self._app(scope, exchange.receive, exchange.send)
                return
            except ClientDisconnect:
                if exchange.begun:
                    return
                response = Response(status_code=CLIENT_GONE_STATUS)  # it left in the middle of its body
            except Exception as error:
                if exchange.begun:
                    raise  # only the server can hang up now
                response = _failed(scope, exchange, error)
        await response(scope, exchange.receive, exchange.end)


def _failed(scope: Scope, exchange: Exchange, error: Exception) -> Response:
    """What a request is told that the application did not answer: it took too long, or there is a bug."""
    request = Request(scope)
    if not (exchange.limit.expired and isinstance(error, TimeoutError)):
        log.error("request_failed", path=scope["path"], exc_info=error)
        return errors.failed(request)
    if exchange.reading:
        within_s = UPLOAD_TIMEOUT_S if exchange.upload else BODY_TIMEOUT_S
        return errors.rejected(request, HTTPException(408, f"the body did not arrive within {within_s:.0f} s"))
    # The parts have shorter time-outs of their own: this one is for what nobody thought of.
    log.warning("request_given_up", path=scope["path"], after_s=exchange.answer_s)
    late = Unavailable(f"not answered within {exchange.answer_s:.0f} s", code="request_timed_out")
    return errors.answer(request, late)


def _tell(span: Span, scope: Scope, route: str, status: int, request_id: str) -> None:
    method = scope["method"]
    span.rename(f"{method} {route}")
    span.set(http__request__method=method, http__route=route, http__response__status_code=status)
    span.set(swarmex__request_id=request_id)
    if status >= access_log.SERVER_ERROR:
        span.fail(scope.get(CODE_KEY) or str(status))


def _parent(scope: Scope) -> TraceContext | None:
    for name, value in scope["headers"]:
        if name == TRACEPARENT:
            return TraceContext.parse(value.decode("latin-1"))
    return None
