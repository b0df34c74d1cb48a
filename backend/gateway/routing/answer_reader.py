"""A node's answer over HTTP/1.1, read into one place; llhttp parses it (httptools), as in the servers."""

from dataclasses import dataclass, field

import numpy as np
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from backend.gateway.limits import ANSWER_HEAD_BYTES_MAX

LARGE_BYTES = 1 << 16
INTERIM_BELOW = 200  # statuses that announce another answer


class BrokenOff(Exception):
    """The node hung up or spoke no HTTP before its answer was whole."""


class AboveLimit(BrokenOff):
    """The answer is longer than is read of one."""


@dataclass(slots=True)
class Reply:
    """What was answered; header names are in lower case, of several with one name the last one counts."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray | memoryview = field(default_factory=bytearray)


class AnswerReader:
    """Reads one answer; a body of declared length goes to its place without passing through the parser."""

    def __init__(self, body_bytes_max: int) -> None:
        self.reply = Reply()
        self.whole = False
        self.reusable = True  # whether the connection may carry another request after this answer
        self._body_bytes_max = body_bytes_max
        self._parser = HttpResponseParser(self)
        self._refused: AboveLimit | None = None
        self._overhead = 0  # bytes since the last of the body
        self._headers_read = False
        self._filled = 0
        self.in_place = False

    def end(self) -> None:
        """Nothing more is fed. Parser and reader know each other: else only the collector would part them."""
        del self._parser

    def place(self) -> memoryview:
        """Where the next bytes belong while `in_place`; else they are to be read elsewhere and fed."""
        return memoryview(self.reply.body)[self._filled :]

    @property
    def ends_by_closing(self) -> bool:
        """Whether what says how long the body is, is that the connection closes after it."""
        told = self.reply.headers
        said = b"content-length" in told or b"transfer-encoding" in told
        return self._headers_read and not self.whole and self._refused is None and not said

    def placed(self, count: int) -> bool:
        """So many bytes were written to `place()`; whether the answer is whole."""
        self._filled += count
        self.whole = self._filled == len(self.reply.body)
        self.in_place = not self.whole
        return self.whole

    def feed(self, read: memoryview) -> bool:
        """Take bytes that came; whether the answer is whole. Raises BrokenOff."""
        self._overhead += len(read)  # taken back for what is body: no node may send headers or trailers for ever
        try:
            self._parser.feed_data(read)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise self._refused or BrokenOff(f"no HTTP: {error}") from error
        if self._refused:
            raise self._refused
        if self._overhead > ANSWER_HEAD_BYTES_MAX and not self.whole:
            raise AboveLimit(f"headers or trailers above {ANSWER_HEAD_BYTES_MAX} bytes")
        self.in_place = not self.whole and len(self.reply.body) > self._filled
        return self.whole

    # ------------------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        """Another answer to the same request is one too many."""
        self.reusable = self.reusable and not self.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it; trailers are not asked for."""
        if not self._headers_read:
            self.reply.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Make room for what is declared."""
        status = self._parser.get_status_code()
        if self.whole:
            return
        if status < INTERIM_BELOW:
            self.reply.headers.clear()
            return
        self._headers_read, self.reply.status = True, status
        self.reusable = self._parser.should_keep_alive()
        length = int(self.reply.headers.get(b"content-length", 0))  # the parser has seen that it is a number
        if length > self._body_bytes_max:
            self._refused = AboveLimit(f"{length} bytes")
        else:
            # Nobody sees a place before it is filled, so a large one need not be zeroed.
            self.reply.body = bytearray(length) if length < LARGE_BYTES else np.empty(length, np.uint8).data

    def on_body(self, chunk: bytes) -> None:
        """Take a part of the body, which grows where no length was declared."""
        if self.whole or self._refused:
            return
        end = self._filled + len(chunk)
        if end > self._body_bytes_max:
            self._refused = AboveLimit(f"more than {self._body_bytes_max} bytes")
        else:
            self.reply.body[self._filled : end] = chunk
            self._filled = end
            self._overhead = 0

    def on_message_complete(self) -> None:
        """It is whole, unless it only announced another one."""
        self.whole = self._headers_read
        if self.whole and self._filled < len(self.reply.body):  # declared, but none comes, as with 204 and 304
            self.reply.body, self.reusable = bytearray(), False
