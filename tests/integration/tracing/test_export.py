"""How spans leave a process: as the standard's variables say, in batches, and never at anybody's expense."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from backend.bootstrap import start_tracing
from backend.bootstrap import tracing as bootstrap_tracing
from backend.messaging import spans
from backend.messaging.spans import Kind, entry, span
from backend.messaging.tracing import TraceContext
from tests.otlp_collector import Collector, collecting, orphans
from tests.waiting import PATIENCE_S, until

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector
    spans.install(None)


def test_a_tree_of_spans_arrives_as_it_was(collector: Collector) -> None:
    stop = start_tracing("api", "front-1")
    with entry("GET", Kind.SERVER, TraceContext.parse(THEIRS + "1")) as request:
        with span("node.infer", Kind.CLIENT, swarmex__node="a") as call:
            call.fail("node_failed")
        request.rename("GET /v2")
    other = TraceContext.parse(THEIRS.replace("4bf9", "5bf9") + "1")
    assert other is not None
    spans.finished("orders.settle", spans.clock_ns(), [THEIRS + "1", other.header], swarmex__orders=2)
    stop()
    by_name = {one.name: one for one in collector.spans()}
    infer, get, settle = (by_name[name] for name in ("node.infer", "GET /v2", "orders.settle"))
    assert (get.service, get.kind, get.parent_id) == ("swarmex-api", 2, "00f067aa0ba902b7")
    assert (infer.kind, infer.parent_id, infer.trace_id) == (3, get.span_id, get.trace_id)
    assert (infer.failed, infer.attributes) == (True, {"swarmex.node": "a", "error.type": "node_failed"})
    assert (settle.parent_id, len(settle.links)) == ("", 2)
    assert settle.ended_ns >= settle.started_ns
    assert [one.name for one in orphans(collector.spans(get.trace_id))] == ["GET /v2"]


@pytest.mark.parametrize(
    ("sampler", "ratio", "flag", "arrives"),
    [
        ("parentbased_traceidratio", "0", "1", True),  # who called has decided
        ("parentbased_traceidratio", "1", "0", False),
        ("parentbased_traceidratio", "0", None, False),
        ("parentbased_traceidratio", "1", None, True),
        ("always_off", "1", "1", False),
    ],
)
def test_the_standards_sampler_decides_unless_the_caller_has(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str, ratio: str, flag: str | None, arrives: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    stop = start_tracing("api", "front-1")
    with entry("GET", Kind.SERVER, TraceContext.parse(THEIRS + flag) if flag else None) as request:
        assert request.context is not None
        assert request.context.sampled is arrives
        with span("inner"):
            pass
    stop()
    assert [one.name for one in collector.spans()] == (["GET", "inner"] if arrives else [])


def test_a_collector_that_hangs_costs_spans_and_no_requests(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32")
    monkeypatch.setattr(bootstrap_tracing, "FLUSH_S", 0.1)
    collector.going.clear()
    stop = start_tracing("api", "front-1")
    for _ in range(1_000):
        with entry("GET", Kind.SERVER, None):
            pass
    until(lambda: collector.requests > 0, "the exporter waits for the collector")
    stop()  # and neither does the end of the process wait for it
    flushing = [thread for thread in threading.enumerate() if thread.name == "tracing-flush"]
    assert collector.spans() == []
    collector.going.set()
    for thread in flushing:
        thread.join(PATIENCE_S)
    assert 0 < len(collector.spans()) <= 64 + 32


def test_a_collector_that_is_not_there_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(bootstrap_tracing, "FLUSH_S", 0.1)
    stop = start_tracing("api", "front-1")
    with entry("GET", Kind.SERVER, None) as request:
        assert request.context is not None
    stop()
    assert not spans.recording()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_nothing_is_recorded_unless_a_collector_is_named_that_is_understood(environment: dict[str, str]) -> None:
    start_tracing("api", "front-1", environment)()
    start_tracing("api", "front-1", environment)
    assert not spans.recording()


def test_without_a_collector_what_exports_traces_is_not_even_imported() -> None:
    program = (
        "import sys, agents.tasks, backend.api.app\n"
        "from backend.bootstrap import start_tracing\n"
        "start_tracing('api', 'front-1', {})\n"
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')  # redis-py asks for metrics by itself\n"
        "sys.exit(any(name.startswith(ours) for name in sys.modules))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_S, check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr
