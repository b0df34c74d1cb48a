"""W3C trace context: where in a trace something happens, and how it travels in headers, messages and rows."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits
from secrets import token_hex
from typing import Self
from uuid import UUID

# https://www.w3.org/TR/trace-context/#traceparent-header; versions after 00 may go on after the flags
_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SPAN_BYTES = 8
_SAMPLED = "01"
_UNSAMPLED = "00"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in a trace something happens; ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    flags: str = _SAMPLED

    @classmethod
    def of_unit(cls, unit_id: UUID) -> Self:
        """A new span of the unit's own trace, whose id is the unit's; nobody records it."""
        return cls(unit_id.hex, token_hex(_SPAN_BYTES), flags=_UNSAMPLED)

    @classmethod
    def begin(cls) -> Self:
        """The first span of a new trace that nobody records; its ids are names, not secrets."""
        return cls(f"{getrandbits(128) or 1:032x}", f"{getrandbits(64) or 1:016x}", flags=_UNSAMPLED)

    @classmethod
    def parse(cls, header: object) -> Self | None:
        """What a `traceparent` says; None for one that says nothing, which the standard wants ignored."""
        match = _HEADER.fullmatch(header) if isinstance(header, str) else None
        if match is None or not int(match[1], 16) or not int(match[2], 16):
            return None
        return cls(match[1], match[2], flags=match[3])

    @property
    def header(self) -> str:
        """The `traceparent` that carries it on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def sampled(self) -> bool:
        """Whether somebody before us may have recorded it."""
        return bool(int(self.flags, 16) & 1)

    def child(self) -> "TraceContext":
        """A new span below this one."""
        return TraceContext(self.trace_id, f"{getrandbits(64) or 1:016x}", self.span_id, self.flags)


CURRENT: ContextVar[TraceContext | None] = ContextVar("swarmex_trace", default=None)
"""Where this thread or task is; log lines say so (`backend.bootstrap.logs`)."""

REQUEST_ID: ContextVar[str | None] = ContextVar("swarmex_request_id", default=None)
"""The request that is being answered here, as its answer names it; in log lines too."""


def carried() -> str | None:
    """The `traceparent` of whatever goes on here, to be handed on; None outside of any trace."""
    here = CURRENT.get()
    return None if here is None else here.header


def joined(traceparents: Iterable[str | None], links_max: int) -> tuple[TraceContext | None, tuple[TraceContext, ...]]:
    """What a span that serves several goes on from, and what it is linked to.

    Work of one trace is part of it; work of several is a trace of its own that is linked to the first `links_max` of
    them that somebody records.
    """
    found: dict[str, TraceContext] = {}
    for header in dict.fromkeys(traceparents):
        if (context := TraceContext.parse(header)) is not None:
            found.setdefault(context.trace_id, context)
    if len(found) == 1:
        return next(iter(found.values())), ()
    return None, tuple(context for context in found.values() if context.sampled)[:links_max]
