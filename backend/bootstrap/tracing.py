"""Traces for any OpenTelemetry collector, where the standard variables name one; otherwise none of it is imported.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) switches it on; headers, time-outs, batches, the sampler and the
resource are the standard's variables too. Spans wait in a bounded queue and leave in batches from a thread of the SDK:
a collector that hangs costs spans, never a request.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from backend.messaging import spans
from backend.messaging.spans import Kind, Recording, Value
from backend.messaging.tracing import TraceContext

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"
NAMESPACE = "swarmex"
FLUSH_S = 2.0  # for what is left in the queue when the process ends
EXPORT_TIMEOUT_S = 5.0  # of one batch; the standard's variables may say otherwise

log = structlog.get_logger(__name__)


def start_tracing(service: str, instance: str, environment: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """Record spans of this process as `service`, if a collector is named; returns what sends the last ones at its end.

    `OTEL_SERVICE_NAME` names all processes otherwise. What cannot be understood is logged, and nothing is recorded.
    """
    if not _wanted(environment):
        return lambda: None
    try:
        provider = _provider(service, instance, environment)
    except Exception as error:  # a variable that the SDK cannot read must not keep a process from its work
        log.warning("tracing.refused", error=repr(error))
        return lambda: None
    spans.install(_Recorder(provider.get_tracer(NAMESPACE)))
    log.info("tracing.started", service=service)

    def stop() -> None:
        spans.install(None)
        last = threading.Thread(target=provider.shutdown, name="tracing-flush", daemon=True)
        last.start()
        last.join(FLUSH_S)

    return stop


def _wanted(environment: Mapping[str, str]) -> bool:
    if not any(environment.get(name) for name in ENDPOINTS):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), SPOKEN)
    if protocol != SPOKEN:
        log.warning("tracing.refused", error=f"OTLP by {protocol}", accepted=SPOKEN)
    return protocol == SPOKEN


def _provider(service: str, instance: str, environment: Mapping[str, str]):  # type: ignore[no-untyped-def]  # of the SDK, which is imported here only
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.namespace": NAMESPACE, "service.instance.id": instance}
    if not environment.get("OTEL_SERVICE_NAME"):
        about["service.name"] = f"{NAMESPACE}-{service}"
    timed = any(name in environment for name in ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"))
    exporter = OTLPSpanExporter(timeout=None if timed else EXPORT_TIMEOUT_S)
    # Not at exit: `stop` does it, within its time.
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class _Recorder:
    """Spans as the SDK has them; parents are passed in, and its own notion of a current span is not used."""

    def __init__(self, tracer: "Tracer") -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        self._tracer = tracer
        self._trace = trace
        self._nowhere = Context()
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in Kind}

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        links: Sequence[TraceContext],
        attributes: dict[str, Value],
        started_ns: int | None,
    ) -> tuple[TraceContext, Recording | None]:
        trace = self._trace
        where = self._nowhere
        if parent is not None:
            where = trace.set_span_in_context(trace.NonRecordingSpan(self._context(parent)), where)
        span = self._tracer.start_span(
            name,
            where,
            self._kinds[kind],
            attributes,
            [trace.Link(self._context(link)) for link in links],
            started_ns,
            record_exception=False,
        )
        own = span.get_span_context()
        context = TraceContext(
            f"{own.trace_id:032x}",
            f"{own.span_id:016x}",
            parent.span_id if parent is not None else None,
            f"{int(own.trace_flags) & 0xFF:02x}",
        )
        return context, _Recording(span) if span.is_recording() else None

    def _context(self, context: TraceContext):  # type: ignore[no-untyped-def]  # as above
        trace = self._trace
        flags = trace.TraceFlags(int(context.flags, 16))
        return trace.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)


class _Recording:
    """One span of the SDK's."""

    __slots__ = ("_span",)

    def __init__(self, span: "Span") -> None:
        self._span = span

    def set(self, attributes: dict[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def end(self, name: str | None, error: str | None) -> None:
        if name is not None:
            self._span.update_name(name)
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()
