"""Spans without a recorder, and with one of the test's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from backend.messaging import spans
from backend.messaging.spans import Kind, Recording, Value
from backend.messaging.tracing import CURRENT, TraceContext

THEIRS = TraceContext.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
UNSAMPLED = TraceContext.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")


@dataclass
class Told:
    """A span as a recorder was told of it."""

    name: str
    kind: Kind
    parent: TraceContext | None
    links: Sequence[TraceContext]
    attributes: dict[str, Value]
    context: TraceContext
    ended: bool = False
    error: str | None = None

    def set(self, attributes: dict[str, Value]) -> None:
        self.attributes |= attributes

    def end(self, name: str | None, error: str | None) -> None:
        self.name, self.ended, self.error = name or self.name, True, error


@dataclass
class Notebook:
    """Records everything."""

    told: list[Told] = field(default_factory=list)

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        links: Sequence[TraceContext],
        attributes: dict[str, Value],
        _started_ns: int | None,
    ) -> tuple[TraceContext, Recording | None]:
        context = parent.child() if parent else TraceContext("1" * 32, f"{len(self.told) + 1:016x}")
        self.told.append(Told(name, kind, parent, links, dict(attributes), context))
        return context, self.told[-1]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    kept = Notebook()
    spans.install(kept)
    yield kept
    spans.install(None)


def test_without_a_recorder_a_request_goes_on_from_its_caller_all_the_same() -> None:
    with spans.entry("GET", Kind.SERVER, THEIRS) as span:
        assert span.context is not None
        assert THEIRS is not None
        assert (span.context.trace_id, span.context.parent_id) == (THEIRS.trace_id, THEIRS.span_id)
        assert CURRENT.get() == span.context
        with spans.span("inner") as inner:
            inner.set(model="scale")
            inner.fail("why")
            assert CURRENT.get() == span.context
    assert CURRENT.get() is None
    assert spans.clock_ns() == 0


def test_parts_are_below_what_they_are_part_of(notebook: Notebook) -> None:
    with spans.entry("GET", Kind.SERVER, None) as request:
        with spans.span("inner", Kind.CLIENT, swarmex__model="scale") as inner:
            inner.set(swarmex__tier="large")
        request.rename("GET /all")
    whole, part = notebook.told
    assert (whole.name, whole.parent, whole.ended) == ("GET /all", None, True)
    assert (part.parent, part.kind) == (whole.context, Kind.CLIENT)
    assert part.attributes == {"swarmex.model": "scale", "swarmex.tier": "large"}


def test_what_leaves_a_span_by_an_exception_is_its_failure(notebook: Notebook) -> None:
    with pytest.raises(KeyError), spans.entry("GET", Kind.SERVER, None), spans.span("inner"):
        raise KeyError
    assert [told.error for told in notebook.told] == ["KeyError", "KeyError"]
    assert CURRENT.get() is None


def test_parts_of_what_is_not_sampled_are_not_recorded(notebook: Notebook) -> None:
    token = CURRENT.set(UNSAMPLED)
    with spans.span("inner"):
        pass
    CURRENT.reset(token)
    with spans.span("of nothing"):
        pass
    assert notebook.told == []


def test_finished_work_is_told_of_where_it_belongs(notebook: Notebook) -> None:
    assert THEIRS is not None
    other = THEIRS.header.replace("4bf9", "5bf9")
    spans.finished("settle", spans.clock_ns(), [THEIRS.header, None], swarmex__orders=2)
    spans.finished("settle", spans.clock_ns(), [THEIRS.header, other])
    spans.finished("settle", spans.clock_ns(), [None])
    of_one, of_two = notebook.told
    assert (of_one.parent, of_one.attributes, of_one.ended) == (THEIRS, {"swarmex.orders": 2}, True)
    assert (of_two.parent, [link.header for link in of_two.links]) == (None, [THEIRS.header, other])
