"""W3C trace context: what is read, what is ignored, what is passed on."""

from uuid import UUID

import pytest

from backend.messaging.tracing import TraceContext

UNIT = UUID("019a0000-0000-7000-8000-000000000001")
GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_header_is_read_and_written_alike() -> None:
    read = TraceContext.parse(GOOD)
    assert read is not None
    assert read.header == GOOD


def test_a_unit_is_one_trace_and_every_send_a_span_of_it() -> None:
    first, second = TraceContext.of_unit(UNIT), TraceContext.of_unit(UNIT)
    assert first.trace_id == second.trace_id == UNIT.hex
    assert first.span_id != second.span_id
    assert TraceContext.parse(first.header) == first


def test_a_child_names_its_parent_and_keeps_flags() -> None:
    parent = TraceContext.parse(GOOD.replace("-01", "-00"))
    assert parent is not None
    child = parent.child()
    assert (child.trace_id, child.parent_id, child.flags) == (parent.trace_id, parent.span_id, "00")
    assert child.span_id != parent.span_id


def test_a_later_version_may_go_on_after_the_flags() -> None:
    assert TraceContext.parse("01" + GOOD[2:] + "-more") is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        7,
        "",
        "x" * 10_000,
        GOOD.upper(),
        "ff" + GOOD[2:],
        GOOD[:-1],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_a_header_that_says_nothing_is_ignored(header: object) -> None:
    assert TraceContext.parse(header) is None
