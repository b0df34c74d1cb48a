"""The lines of a batch: one request each, checked alone, and cut into chunks that one order can carry.

A line's `url` says what is asked: today the Open Inference Protocol's infer routes; whatever else is to be served
in batches gets its `Target` here.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from backend.domain.batches import BATCH_REQUESTS_MAX, ENDPOINT
from backend.domain.errors import Invalid, NotFound, SwarmexError, TooLarge, shown
from backend.domain.orders import ITEMS_PER_ORDER_MAX
from backend.domain.work import PAYLOAD_BYTES_MAX

LINE_BYTES_MAX = PAYLOAD_BYTES_MAX + (1 << 16)
CHUNK_BYTES_MAX = 8 << 20  # of input in one order, so that no placement holds more
CUSTOM_ID_CHARS_MAX = 256
ERRORS_MAX = 100  # told of one file; reading ends there
MODELS_PER_BATCH_MAX = 16
GROWTH_MAX = 8  # of a request that is written again: 1e9 becomes 1000000000.0

_INFER = re.compile(r"/v2/models/([A-Za-z0-9._-]{1,63})(?:/versions/([1-9]\d{0,8}))?/infer", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """What a line's url asks for."""

    model: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch, its body not yet checked against the model."""

    custom_id: str
    target: Target
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line (counted from 1), or with the file as a whole (None)."""

    line: int | None
    code: str
    message: str
    param: str | None

    def document(self) -> dict[str, Any]:
        """As clients know it."""
        return {"line": self.line, "code": self.code, "message": self.message, "param": self.param}


@dataclass(slots=True)
class Chunk:
    """Lines of one model that one order will carry: where they lie in the file, their numbers, names and rows."""

    model: str
    version: int
    from_byte: int
    to_byte: int = 0
    size_bytes: int = 0
    output_bytes: int = 0  # that their results should fill
    lines: list[tuple[int, str, int]] = field(default_factory=list)


def check_endpoint(endpoint: str) -> None:
    """Raise Invalid unless batches are offered for it."""
    if endpoint != ENDPOINT and _INFER.fullmatch(endpoint) is None:
        raise Invalid(
            "no batches are offered for this endpoint",
            code="invalid_endpoint",
            field="endpoint",
            accepted=f"{ENDPOINT}, or {ENDPOINT}/MODEL/infer",
        )


def split_lines(chunks: Iterable[bytes], line_bytes_max: int = LINE_BYTES_MAX) -> Iterator[tuple[int, bytes | None]]:
    """(offset, line without its end) of each line; None for one that is too long, of which no more is kept."""
    rest, offset, skipping = b"", 0, False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield offset, None if skipping or len(line) > line_bytes_max else line
            offset += len(line) + 1
            skipping = False
        if len(rest) > line_bytes_max:
            offset += len(rest)
            rest, skipping = b"", True
    if rest or skipping:
        yield offset, None if skipping else rest


def parse_line(raw: bytes, endpoint: str) -> Line:
    """The request in a line; raises Invalid, TooLarge or NotFound with the field at fault."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the line is not JSON: {error}", code="invalid_json") from None
    if not isinstance(said, dict):
        raise Invalid(
            "the line is not a JSON object", code="invalid_json", accepted='{"custom_id", "method", "url", "body"}'
        )
    custom_id = said.get("custom_id")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= CUSTOM_ID_CHARS_MAX or "\x00" in custom_id:
        accepted = f"a text of 1 to {CUSTOM_ID_CHARS_MAX} characters"
        raise Invalid(
            "custom_id is missing, empty or too long", code="invalid_custom_id", field="custom_id", accepted=accepted
        )
    if said.get("method") != "POST":
        raise Invalid("the method is not POST", code="invalid_method", field="method", accepted="POST")
    target = _target(said.get("url"), endpoint)
    body = said.get("body")
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object", code="invalid_body", field="body", accepted='{"inputs": [...]}')
    if GROWTH_MAX * len(raw) > PAYLOAD_BYTES_MAX and len(orjson.dumps(body)) > PAYLOAD_BYTES_MAX:
        raise TooLarge("the body is too large", field="body", accepted=f"at most {PAYLOAD_BYTES_MAX} bytes")
    return Line(custom_id, target, body)


def _target(url: object, endpoint: str) -> Target:
    match = _INFER.fullmatch(url) if isinstance(url, str) else None
    if match is None or endpoint not in (ENDPOINT, url):
        wanted = "/v2/models/MODEL/infer, or /v2/models/MODEL/versions/N/infer"
        accepted = wanted if endpoint == ENDPOINT else endpoint
        raise Invalid(f"url {shown(url)} cannot be asked", code="invalid_url", field="url", accepted=accepted)
    return Target(match[1], int(match[2]) if match[2] else None)


class Cutter:
    """Takes lines one by one and cuts them into chunks; bounded by what a batch may hold."""

    def __init__(self) -> None:
        self.total = 0
        self.errors: list[LineError] = []
        self.chunks: list[Chunk] = []
        self._open: dict[tuple[str, int], Chunk] = {}
        self._names: set[bytes] = set()

    @property
    def full(self) -> bool:
        """Whether nothing more needs to be read: the file has failed, and enough is told of it."""
        return len(self.errors) >= ERRORS_MAX or self.total > BATCH_REQUESTS_MAX

    def count(self, number: int) -> bool:
        """Count a line; False, with its error noted, for one beyond what a batch may hold."""
        self.total += 1
        if self.total > BATCH_REQUESTS_MAX:
            accepted = f"at most {BATCH_REQUESTS_MAX} requests in one batch"
            self.fail(number, TooLarge("too many requests", code="too_many_requests", accepted=accepted))
        return self.total <= BATCH_REQUESTS_MAX

    def name(self, custom_id: str) -> None:
        """Raise Invalid for a custom_id that an earlier line has; of each, a digest is remembered."""
        digest = hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._names:
            raise Invalid(
                f"custom_id {shown(custom_id)} was used by an earlier line",
                code="duplicate_custom_id",
                field="custom_id",
                accepted="one of its own for each line",
            )
        self._names.add(digest)

    def take(
        self,
        number: int,
        offset: int,
        size_bytes: int,
        custom_id: str,
        rows: int,
        model: str,
        version: int,
        output_bytes: int = 0,
    ) -> None:
        """Put a checked line into the open chunk of its model, or begin the next."""
        key = (model, version)
        chunk = self._open.get(key)
        if chunk and (len(chunk.lines) == ITEMS_PER_ORDER_MAX or chunk.size_bytes + size_bytes > CHUNK_BYTES_MAX):
            chunk = None
        if chunk is None:
            if key not in self._open and len(self._open) == MODELS_PER_BATCH_MAX:
                accepted = f"at most {MODELS_PER_BATCH_MAX} models in one batch"
                raise TooLarge("one model too many", code="too_many_models", field="url", accepted=accepted)
            chunk = self._open[key] = Chunk(model, version, offset)
            self.chunks.append(chunk)
        chunk.lines.append((number, custom_id, rows))
        chunk.size_bytes += size_bytes
        chunk.output_bytes += output_bytes
        chunk.to_byte = offset + size_bytes

    def fail(self, number: int | None, error: SwarmexError) -> None:
        """Note what is wrong."""
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(line_error(number, error))

    def end(self) -> None:
        """Refuse a file without requests."""
        if not self.total:
            self.fail(None, Invalid("the file holds no request", code="empty_file", accepted="one request a line"))


def line_error(number: int | None, error: SwarmexError) -> LineError:
    """A refusal as it is told of a line, with what would be accepted; a field of the body is called `body.…`."""
    wanted = f" (accepted: {error.accepted})" if error.accepted else ""
    param = error.field
    if param and not isinstance(error, NotFound) and param.startswith(("inputs", "outputs")):
        param = f"body.{param}"
    return LineError(number, error.code, f"{error.message}{wanted}", param)
