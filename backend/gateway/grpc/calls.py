"""What surrounds every call: ids, a trace, time limits, a count and a line in the log; refusals as statuses."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import EOF, ServicerContext

from backend.bootstrap import new_id
from backend.domain.errors import Invalid, SwarmexError, Unavailable
from backend.gateway.grpc import statuses
from backend.gateway.grpc.call import Call, Told
from backend.gateway.grpc.metrics import CallMetrics
from backend.gateway.limits import GRPC_BODY_TIMEOUT_S, GRPC_CALL_TIMEOUT_S, GRPC_OPEN_BODY_TIMEOUT_S
from backend.messaging.spans import Kind, entry
from backend.messaging.tracing import REQUEST_ID, TraceContext

SERVICE = "inference.GRPCInferenceService"
OK, CANCELLED, BROKEN = "ok", "cancelled", "internal_error"
REQUEST_ID_KEY, TRACE_ID_KEY = "swarmex-request-id", "swarmex-trace-id"

log = structlog.get_logger("swarmex.grpc")

M = TypeVar("M", bound=Message)
Method = Callable[[Any, Call], Awaitable[Any]]
Admit = Callable[[Call], Awaitable[object]]
Refusal = tuple[grpc.StatusCode, str, Told]


class Calls:
    """Wraps the methods of a service."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics

    def around(
        self, method: Method, kind: type[M], service: str = SERVICE, admit: Admit | None = None
    ) -> grpc.RpcMethodHandler:
        """`method`, which takes messages of a kind and may raise, as a server calls it.

        For the server it takes a stream: so its one message is read here, in bounded time, and only after `admit` has
        raised nothing. Without it anybody may call, and has less time. Outside nobody sees that.
        """
        name = method.__name__

        async def answered(_messages: object, context: ServicerContext) -> Any:
            started, request_id, call = time.perf_counter(), str(new_id()), Call(context)
            token = REQUEST_ID.set(request_id)
            code = CANCELLED
            span = entry(f"{service}/{name}", Kind.SERVER, TraceContext.parse(call.metadata.get("traceparent")))
            assert span.context is not None
            ids = ((REQUEST_ID_KEY, request_id), (TRACE_ID_KEY, span.context.trace_id))
            try:
                with span:
                    code, answer, refusal = await _outcome(method, kind, call, context, admit)
                    span.set(rpc__system="grpc", rpc__service=service, rpc__method=name, swarmex__request_id=request_id)
                    if refusal is not None:
                        span.fail(code)
                if refusal is not None:
                    status, details, told = refusal
                    await context.abort(status, details, (*told, *call.trailing, *ids))
                context.set_trailing_metadata((*call.trailing, *ids))
                return answer
            finally:
                call.leave()
                REQUEST_ID.reset(token)
                seconds = time.perf_counter() - started
                self._metrics.answered(name, code, seconds)
                trace_id = span.context.trace_id
                ms = round(seconds * 1_000, 3)
                log.debug("request", request_id=request_id, trace_id=trace_id, method=name, code=code, ms=ms)

        return grpc.stream_unary_rpc_method_handler(
            answered, response_serializer=lambda answer: answer.SerializeToString()
        )


async def _outcome(
    method: Method, kind: type[M], call: Call, context: ServicerContext, admit: Admit | None
) -> tuple[str, Any, Refusal | None]:
    """The code to count, the answer, and what is told in its place: status, details, trailing metadata."""
    try:
        if admit is not None:
            await admit(call)
        request = await _request(kind, context, GRPC_BODY_TIMEOUT_S if admit else GRPC_OPEN_BODY_TIMEOUT_S)
        return OK, await _answer(method, request, call), None
    except _TooSlow as slow:
        told = ((statuses.ERROR_CODE_KEY, slow.code),)
        return slow.code, None, (grpc.StatusCode.DEADLINE_EXCEEDED, str(slow), told)
    except SwarmexError as error:
        return error.code, None, (statuses.status_of(error), statuses.sentence(error), statuses.told_with(error))
    except Exception:
        log.exception("grpc.broke", method=method.__name__)
        told = ((statuses.ERROR_CODE_KEY, BROKEN),)
        return BROKEN, None, (grpc.StatusCode.INTERNAL, "the server failed; the request may be tried again", told)


class _TooSlow(Exception):
    """The caller has not sent its request in time."""

    code = "body_too_slow"


async def _request(kind: type[M], context: ServicerContext, within_s: float) -> M:
    """The call's message; raises _TooSlow, or Invalid for none and for what is no message of the kind."""
    try:
        async with asyncio.timeout(within_s):
            raw = await context.read()
    except TimeoutError:
        raise _TooSlow(f"the request did not arrive within {within_s:.0f} s") from None
    if raw is EOF:  # of one above GRPC_REQUEST_BYTES_MAX the server has told already
        raise Invalid("no message was sent", code="invalid_message", accepted=kind.__name__)
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise Invalid("the message cannot be read", code="invalid_message", accepted=kind.__name__) from None


async def _answer(method: Method, request: Message, call: Call) -> Any:
    """What the method answers within GRPC_CALL_TIMEOUT_S; its parts have shorter times: this is for the rest."""
    limit = asyncio.timeout(GRPC_CALL_TIMEOUT_S)
    try:
        async with limit:
            return await method(request, call)
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("request_given_up", method=method.__name__, after_s=GRPC_CALL_TIMEOUT_S)
        raise Unavailable(f"not answered within {GRPC_CALL_TIMEOUT_S:.0f} s", code="request_timed_out") from None
