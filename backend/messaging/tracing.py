"""W3C trace context in the headers of messages: a unit is one trace, however often it is sent."""

import re
from dataclasses import dataclass
from secrets import token_hex
from typing import Self
from uuid import UUID

# https://www.w3.org/TR/trace-context/#traceparent-header; versions after 00 may go on after the flags
_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SPAN_BYTES = 8
_SAMPLED = "01"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in a trace something happens; ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    flags: str = _SAMPLED

    @classmethod
    def of_unit(cls, unit_id: UUID) -> Self:
        """A new span of the unit's trace, whose id is the unit's."""
        return cls(unit_id.hex, token_hex(_SPAN_BYTES))

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

    def child(self) -> "TraceContext":
        """A new span below this one."""
        return TraceContext(self.trace_id, token_hex(_SPAN_BYTES), self.span_id, self.flags)
