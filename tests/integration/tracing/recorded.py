"""Spans of this process, told to a collector as they are to any, and read back as one tree."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.bootstrap import start_tracing
from backend.messaging import spans
from tests.otlp_collector import Collected, Collector, collecting, orphans
from tests.waiting import PATIENCE_S, until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
THEIRS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that this process tells its spans to."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", PATIENCE_S)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        stop = start_tracing("test", "one")
        yield collector
        stop()
    spans.install(None)


def tree(collector: Collector, *names: str) -> dict[str, Collected]:
    """The spans of THEIRS by name, once these are there; they are one tree below the caller's span."""
    found: list[Collected] = []

    def whole() -> bool:  # a span is told when it ends, so after those below it
        found[:] = collector.spans(TRACE)
        is_there = {span.name for span in found} >= set(names)
        return is_there and {span.parent_id for span in orphans(found)} == {CALLER}

    until(whole, f"{names} are told, all below the caller's span")
    return {span.name: span for span in found}
