"""Spans of what this process does. Nothing is recorded, and next to nothing spent, until a recorder is installed.

Which recorder that is, and whom it tells, is for `backend.bootstrap.tracing` to say. Without one, requests and units
still have trace ids, which logs, answers and messages carry.
"""

import time
from collections.abc import Iterable, Sequence
from contextvars import Token
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from backend.messaging.tracing import CURRENT, TraceContext, joined

LINKS_MAX = 16  # other traces that one span is linked to

Value = str | int | float | bool


class Kind(StrEnum):
    """What a span is in the words of OpenTelemetry."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Recording(Protocol):
    """A span that is being recorded; nothing of it raises or waits."""

    def set(self, attributes: dict[str, Value]) -> None:
        """Know more of it."""
        ...

    def end(self, name: str | None, error: str | None) -> None:
        """It is over, under a better name if one was found, and failed if there is an error."""
        ...


class Recorder(Protocol):
    """Whom spans are told."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        links: Sequence[TraceContext],
        attributes: dict[str, Value],
        started_ns: int | None,
    ) -> tuple[TraceContext, Recording | None]:
        """A span below `parent`, or the first of a new trace; not recorded if it is not sampled. Never raises.

        `started_ns` (of the Unix epoch) for one that began before.
        """
        ...


class _Installed:
    recorder: Recorder | None = None


def install(recorder: Recorder | None) -> None:
    """Record all spans from now on, or none any more."""
    _Installed.recorder = recorder


def recording() -> bool:
    """Whether spans are recorded at all, so that it is worth the while to say more of one."""
    return _Installed.recorder is not None


class Span:
    """Where its block is in a trace. Whatever leaves the block by an exception is its failure."""

    __slots__ = ("_error", "_name", "_recording", "_token", "context")

    def __init__(self, context: TraceContext | None, recording: Recording | None) -> None:
        self.context = context
        self._recording = recording
        self._token: Token[TraceContext | None] | None = None
        self._name: str | None = None
        self._error: str | None = None

    def set(self, **attributes: Value) -> None:
        """Say more of it: names, sizes and outcomes; never what users sent."""
        if self._recording is not None:
            self._recording.set({name.replace("__", "."): value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        """It is known better now what it was."""
        self._name = name

    def fail(self, why: str) -> None:
        """It did not go well, although nothing was raised."""
        self._error = why

    def __enter__(self) -> Self:
        if self.context is not None:
            self._token = CURRENT.set(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            CURRENT.reset(self._token)
            self._token = None
        if self._recording is not None:
            why = self._error if error is None else str(getattr(error, "code", type(error).__name__))
            self._recording.end(self._name, why)


class _Nothing(Span):
    """What spans are where none are recorded; shared, since it keeps nothing."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def rename(self, name: str) -> None:
        pass

    def fail(self, why: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_NOTHING = _Nothing()


def entry(
    name: str,
    kind: Kind,
    parent: TraceContext | None,
    links: Sequence[TraceContext] = (),
    otherwise: TraceContext | None = None,
    **attributes: Value,
) -> Span:
    """The span by which a request or a message comes in: it goes on from `parent`, or begins a trace.

    Where nothing is recorded it has ids all the same: `otherwise`, or new ones.
    """
    recorder = _Installed.recorder
    if recorder is None:
        return Span(parent.child() if parent is not None else otherwise or TraceContext.begin(), None)
    return Span(*recorder.begin(name, kind, parent, links, _named(attributes), None))


def span(name: str, kind: Kind = Kind.INTERNAL, **attributes: Value) -> Span:
    """A part of what goes on here, to be used in a `with`; in an attribute's name `__` stands for a dot."""
    recorder = _Installed.recorder
    here = CURRENT.get() if recorder is not None else None
    if recorder is None or here is None or not here.sampled:
        return _NOTHING
    return Span(*recorder.begin(name, kind, here, (), _named(attributes), None))


def clock_ns() -> int:
    """When something begins that `finished` may tell of; 0 where nothing is recorded."""
    return time.time_ns() if _Installed.recorder is not None else 0


def finished(name: str, started_ns: int, traceparents: Iterable[str | None], **attributes: Value) -> None:
    """Tell of work that is over and served the orders of these `traceparents`: part of their trace, or linked to all.

    Of work that nobody records the cause of nothing is told.
    """
    recorder = _Installed.recorder
    if recorder is None or not started_ns:
        return
    parent, links = joined(traceparents, LINKS_MAX)
    if parent is None and not links:
        return
    _, begun = recorder.begin(name, Kind.INTERNAL, parent, links, _named(attributes), started_ns)
    if begun is not None:
        begun.end(None, None)


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {name.replace("__", "."): value for name, value in attributes.items()} if attributes else attributes
