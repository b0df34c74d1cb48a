"""The node's part of a real-time request's trace."""

from starlette.requests import Request
from starlette.responses import Response

from backend.messaging.spans import Kind, Span, entry, recording
from backend.messaging.tracing import TraceContext

SERVER_ERROR = 500


def entered(request: Request) -> Span:
    """The span of a request: it goes on from the gateway's, whose `traceparent` came along."""
    route = getattr(request.scope.get("route"), "path", request.method)
    return entry(f"{request.method} {route}", Kind.SERVER, TraceContext.parse(request.headers.get("traceparent")))


def answered(span: Span, response: Response, busy_header: str) -> None:
    """Say how it was answered, and how many microseconds of it the engine took (the value of `busy_header`)."""
    if not recording():
        return
    span.set(http__response__status_code=response.status_code)
    if (busy_us := response.headers.get(busy_header)) is not None:
        span.set(swarmex__busy_us=int(busy_us))
    if response.status_code >= SERVER_ERROR:
        span.fail(str(response.status_code))
