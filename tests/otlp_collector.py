"""A collector of OpenTelemetry traces for tests: OTLP over HTTP as the standard has it, kept in memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True, slots=True)
class Collected:
    """A span as it arrived; ids in hexadecimal."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]  # ids of the traces that it is linked to
    attributes: dict[str, Any]
    failed: bool
    started_ns: int
    ended_ns: int


@dataclass(slots=True)
class Collector:
    """What has arrived; `refuse` makes it answer 503, `hang` not at all until it is cleared."""

    endpoint: str = ""
    requests: int = 0
    refuse: bool = False
    going: threading.Event = field(default_factory=threading.Event)
    _spans: list[Collected] = field(default_factory=list)

    def spans(self, trace_id: str | None = None) -> list[Collected]:
        """All spans, or those of a trace, by their beginning."""
        chosen = [span for span in list(self._spans) if trace_id in (None, span.trace_id)]
        return sorted(chosen, key=lambda span: span.started_ns)

    def received(self, message: ExportTraceServiceRequest) -> None:
        """Keep the spans of a message."""
        for resource in message.resource_spans:
            service = next(_plain(a.value) for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._spans.append(
                        Collected(
                            service,
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            tuple(link.trace_id.hex() for link in span.links),
                            {a.key: _plain(a.value) for a in span.attributes},
                            span.status.code == 2,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                        )
                    )


def orphans(spans: list[Collected]) -> list[Collected]:
    """Those of a trace whose parent is not among them: of a connected one, its root only."""
    ids = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in ids]


def _plain(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    return getattr(value, which) if which else None


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own until the block ends."""
    collector = Collector()
    collector.going.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests += 1
            collector.going.wait()
            if collector.refuse or self.path != "/v1/traces":
                self.send_response(503 if collector.refuse else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            collector.received(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.going.set()
        server.shutdown()
        server.server_close()
        thread.join()
