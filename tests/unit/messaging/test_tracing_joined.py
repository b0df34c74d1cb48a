"""What a span that serves many orders belongs to."""

from backend.messaging.tracing import CURRENT, TraceContext, carried, joined

A = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SAME_TRACE = A.replace("00f067aa0ba902b7", "00f067aa0ba902b8")
B = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def test_work_of_one_trace_is_part_of_it() -> None:
    parent, links = joined([None, A, A, SAME_TRACE, "nonsense"], 16)
    assert parent == TraceContext.parse(A)
    assert links == ()


def test_work_of_several_traces_is_linked_to_those_that_are_recorded() -> None:
    parent, links = joined([A, UNSAMPLED, B], 16)
    assert parent is None
    assert [link.header for link in links] == [A, B]


def test_links_are_bounded() -> None:
    many = [f"00-{number:032x}-00f067aa0ba902b7-01" for number in range(1, 100)]
    assert len(joined(many, 16)[1]) == 16


def test_work_without_a_cause_belongs_to_nothing() -> None:
    assert joined([], 16) == joined([None, "nonsense"], 16) == (None, ())


def test_a_trace_that_nobody_records_has_an_id_all_the_same() -> None:
    begun = TraceContext.begin()
    assert TraceContext.parse(begun.header) == begun
    assert not begun.sampled
    assert begun.trace_id != TraceContext.begin().trace_id


def test_what_is_handed_on_is_where_one_is() -> None:
    assert carried() is None
    token = CURRENT.set(TraceContext.parse(A))
    try:
        assert carried() == A
    finally:
        CURRENT.reset(token)
