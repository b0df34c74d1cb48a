"""Ranges of bytes as HTTP asks for them (RFC 9110, section 14): one at a time."""

import re
from dataclasses import dataclass

from backend.domain.errors import Invalid

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class RangeUnsatisfiable(Invalid):
    """A range that begins behind the end of what there is; `size_bytes` is how much that is."""

    code = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__("nothing is there", field="Range", accepted=f"a range within {size_bytes} bytes")
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, without `end`, of `size_bytes`."""

    start: int
    end: int
    size_bytes: int

    @property
    def header(self) -> str:
        """The `Content-Range` of an answer with it."""
        return f"bytes {self.start}-{self.end - 1}/{self.size_bytes}"


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The range that a header asks for; None for all: no header, several ranges, or a form that nobody knows.

    Raises RangeUnsatisfiable.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size_bytes - int(match[2])), size_bytes
    else:
        start, end = int(match[1]), min(size_bytes, int(match[2]) + 1 if match[2] else size_bytes)
        if match[2] and int(match[2]) < start:
            return None  # such a range is none
    if start >= end:
        raise RangeUnsatisfiable(size_bytes)
    return ByteRange(start, end, size_bytes)
