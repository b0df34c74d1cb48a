"""What surrounds every call: ids, a place in a trace, a count and a line in the log; refusals told as statuses."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc.aio import ServicerContext

from backend.bootstrap import new_id
from backend.domain.errors import SwarmexError
from backend.gateway.grpc import statuses
from backend.gateway.grpc.metrics import CallMetrics
from backend.messaging.spans import Kind, entry
from backend.messaging.tracing import REQUEST_ID, TraceContext

SERVICE = "inference.GRPCInferenceService"
OK, CANCELLED, BROKEN = "ok", "cancelled", "internal_error"
REQUEST_ID_KEY, TRACE_ID_KEY = "swarmex-request-id", "swarmex-trace-id"

log = structlog.get_logger("swarmex.grpc")

Method = Callable[[Any, ServicerContext], Awaitable[Any]]
Told = tuple[tuple[str, str], ...]


class Calls:
    """Wraps the methods of a service."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics

    def around(self, method: Method) -> Method:
        """`method`, which may raise, as a server calls it."""
        name = method.__name__

        async def answered(request: Any, call: ServicerContext) -> Any:
            started, request_id = time.perf_counter(), str(new_id())
            token = REQUEST_ID.set(request_id)
            code = CANCELLED
            span = entry(f"{SERVICE}/{name}", Kind.SERVER, TraceContext.parse(metadata_of(call).get("traceparent")))
            assert span.context is not None
            ids = ((REQUEST_ID_KEY, request_id), (TRACE_ID_KEY, span.context.trace_id))
            try:
                with span:
                    code, answer, refusal = await _outcome(name, method, request, call)
                    span.set(rpc__system="grpc", rpc__service=SERVICE, rpc__method=name, swarmex__request_id=request_id)
                    if refusal is not None:
                        span.fail(code)
                if refusal is not None:
                    status, details, told = refusal
                    await call.abort(status, details, (*told, *ids))
                call.set_trailing_metadata((*(call.trailing_metadata() or ()), *ids))
                return answer
            finally:
                REQUEST_ID.reset(token)
                seconds = time.perf_counter() - started
                self._metrics.answered(name, code, seconds)
                trace_id = span.context.trace_id
                ms = round(seconds * 1_000, 3)
                log.debug("request", request_id=request_id, trace_id=trace_id, method=name, code=code, ms=ms)

        return answered


def metadata_of(call: ServicerContext) -> dict[str, str]:
    """The call's metadata that is text; of a key that comes twice the last."""
    return {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}


async def _outcome(
    name: str, method: Method, request: Any, call: ServicerContext
) -> tuple[str, Any, tuple[grpc.StatusCode, str, Told] | None]:
    """The code to count, the answer, and what is told in its place: status, details, trailing metadata."""
    try:
        return OK, await method(request, call), None
    except SwarmexError as error:
        return error.code, None, (statuses.status_of(error), statuses.sentence(error), statuses.told_with(error))
    except Exception:
        log.exception("grpc.broke", method=name)
        told = ((statuses.ERROR_CODE_KEY, BROKEN),)
        return BROKEN, None, (grpc.StatusCode.INTERNAL, "the server failed; the request may be tried again", told)
