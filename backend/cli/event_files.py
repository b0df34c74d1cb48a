"""CloudEvents from files: one JSON document a line, or one document that is an event or an array of them.

Lines are read as far as they are needed, one document whole.
"""

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from backend.domain.cloudevents import read_json
from backend.domain.errors import Invalid, SwarmexError

LINE_BYTES_MAX = 1 << 20
DOCUMENT_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """What stands at one place of a file: an event, or why it is none; `read_bytes` are behind us."""

    number: int
    event: Any
    refusal: SwarmexError | None
    read_bytes: int


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, or standard input for -; raises Invalid(`invalid_file`)."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise _invalid(f"{path}: {error.strerror or 'it cannot be read'}", "a file, or -") from None
    with file:
        yield file


def lines(file: IO[bytes]) -> Iterator[Line]:
    """The events of a file in order, numbered from 1; empty lines are passed over. Raises Invalid(`invalid_file`)."""
    number, read_bytes, line = 1, 0, file.readline(LINE_BYTES_MAX + 1).removeprefix(codecs.BOM_UTF8)
    begun = False
    while line:
        if not begun and (line.lstrip().startswith(b"[") or line.strip() == b"{"):
            yield from _document(line, file)
            return
        begun = begun or bool(line.strip())
        if len(line) > LINE_BYTES_MAX:
            raise _invalid(f"line {number} is too long", f"at most {LINE_BYTES_MAX} bytes a line")
        read_bytes += len(line)
        if line.strip():
            yield _line(number, line, read_bytes)
        number, line = number + 1, file.readline(LINE_BYTES_MAX + 1)


def _document(first: bytes, file: IO[bytes]) -> Iterator[Line]:
    content = first + file.read(DOCUMENT_BYTES_MAX + 1 - len(first))
    if len(content) > DOCUMENT_BYTES_MAX:
        raise _invalid("it is too large", f"at most {DOCUMENT_BYTES_MAX} bytes, or one event a line of any number")
    try:
        events = read_json(content)
    except ValueError as error:
        accepted = "a JSON array of events, or one event a line"
        raise _invalid(f"this is not JSON: {str(error)[:100]}", accepted) from None
    found = events if isinstance(events, list) else [events]
    for number, event in enumerate(found, 1):
        yield Line(number, event, None, len(content) * number // len(found))


def _line(number: int, line: bytes, read_bytes: int) -> Line:
    try:
        return Line(number, read_json(line), None, read_bytes)
    except ValueError as error:
        refusal = Invalid(f"this is not JSON: {str(error)[:100]}", code="invalid_json", accepted="one event a line")
        return Line(number, None, refusal, read_bytes)


def _invalid(message: str, accepted: str) -> Invalid:
    return Invalid(message, code="invalid_file", field="file", accepted=accepted)
