"""Bodies of inference requests, received into their place instead of being passed on in pieces.

Uvicorn hands a body through its parser, a buffer, a message and a join: a megabyte is copied five times before anybody
reads it, which is half of all the time that its request takes. Where the length is declared, the bytes that follow the
head need no parser: the loop writes them where they stay. Requests are told of the end of their connection, too, and
answers leave with their heads. Everything else is uvicorn's as before.
"""

import asyncio
from threading import local
from typing import Any

import httptools
import numpy as np
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from backend.domain.tensors import HEADER_LENGTH
from backend.gateway.disconnects import HANGUP_KEY, Hangup
from backend.gateway.oip.joined_writes import JoinedWrites

BODY_RECEIVER = f"{__name__}:BodyReceiver"  # as uvicorn is told of it: `http=BODY_RECEIVER`
READ_BYTES = 1 << 16  # at once, of everything that has no place
PLACED_BYTES_MIN = 1 << 16  # smaller bodies come in one piece anyhow
PLACED_BYTES_MAX = 8 << 20  # longer ones come in pieces, to be refused in time
ALIGNED_BYTES = 64  # what follows the JSON part begins at a multiple, where arrays may lie as they are
INFER = "/infer"
LENGTH_DIGITS_MAX = 9
_HEADER_LENGTH = HEADER_LENGTH.lower().encode()


class BodyReceiver(asyncio.BufferedProtocol):
    """One client's connection, as uvicorn makes it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._http = _Http(*args, **options)
        self._scratch = _scratch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._http.connection_made(transport)  # type: ignore[arg-type]  # it is one that reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self._http.place = None
        self._http.connection_lost(exc)
        self._http.hangup.happen()

    def eof_received(self) -> None:
        """The client will send no more; what it asked for is still answered as far as uvicorn does."""
        self._http.eof_received()

    def pause_writing(self) -> None:
        """What is sent piles up."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """It does not any more."""
        self._http.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # as the loop calls it
        """Where the next bytes go."""
        place = self._http.place
        if place is None:
            return self._scratch
        if self._http.answered:  # nobody will read the body: what is left of it is only counted
            return self._scratch[: len(place.left)]
        return place.left

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that came."""
        place = self._http.place
        if place is None:
            self._http.data_received(self._scratch[:nbytes])  # type: ignore[arg-type]  # the parser takes any buffer
        else:
            self._http.heard()
            if place.filled_by(nbytes):
                self._http.placed()


class _Place:
    """Memory for one body, filled from its beginning."""

    __slots__ = ("_filled", "whole")

    def __init__(self, length: int, aligned_at: int) -> None:
        room = np.empty(length + ALIGNED_BYTES, np.uint8)  # not zeroed: nobody sees it before it is filled
        start = -(room.ctypes.data + aligned_at) % ALIGNED_BYTES
        self.whole = room[start : start + length].data
        self._filled = 0

    @property
    def left(self) -> memoryview:
        """What is still to be filled."""
        return self.whole[self._filled :]

    def take(self, piece: bytes) -> bool:
        """Copy a piece that came with the head; whether it was the last one."""
        self.whole[self._filled : self._filled + len(piece)] = piece
        return self.filled_by(len(piece))

    def filled_by(self, count: int) -> bool:
        """So many bytes more are there; whether they were the last ones."""
        self._filled += count
        return self._filled == len(self.whole)


class _Http(HttpToolsProtocol):
    """Uvicorn's protocol, whose parser is relieved of a body that has a place."""

    place: _Place | None = None  # while one is being filled by the loop
    _begun: _Place | None = None  # the same, until the parser has given what came with the head

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hangup = Hangup()
        self._writes: JoinedWrites

    @property
    def answered(self) -> bool:
        """Whether the request whose body comes has had its answer."""
        return bool(self.cycle.response_complete)

    def heard(self) -> None:
        """The client is there: a connection that was answered early is not idle as long as its body comes."""
        self._unset_keepalive_if_required()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is open: what is written to it goes by way of ours."""
        self._writes = JoinedWrites(transport, self.loop)
        super().connection_made(self._writes)

    def on_response_complete(self) -> None:
        """The answer is written."""
        self._writes.answered()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        """Tell the request of the end of its connection."""
        super().on_message_begin()
        self.scope[HANGUP_KEY] = self.hangup  # type: ignore[literal-required]  # as frameworks add theirs

    def on_headers_complete(self) -> None:
        """Begin the request; its body gets a place if its length is known and worth one."""
        before = self.cycle
        super().on_headers_complete()
        length = _placed_length(self.scope, self.headers)
        if length and self.cycle is not before:
            self._begun = _Place(length, _header_length(self.headers, length))
            _hand_over(self.cycle, self._begun.whole)

    def on_body(self, body: bytes) -> None:
        """A piece of a body: to its place, or to uvicorn."""
        if self._begun is None:
            super().on_body(body)
        else:
            self._begun.take(body)

    def on_message_complete(self) -> None:
        """The request is whole: its body too, if all of it came with the head."""
        self._begun = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what came; if a body that has a place is left unfinished by it, the loop fills it from now on."""
        super().data_received(data)
        if self._begun is not None and not self.transport.is_closing():
            self.place, self._begun = self._begun, None

    def placed(self) -> None:
        """The body is whole. The parser still waits for it, so the next request gets a new one."""
        self.place = None
        if self.answered:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        if not self.answered:
            self.cycle.more_body = False
            self.cycle.message_event.set()


_scratches = local()


def _scratch() -> memoryview:
    """Memory for what is read and taken at once: all connections of a thread share it."""
    if not hasattr(_scratches, "memory"):
        _scratches.memory = memoryview(bytearray(READ_BYTES))
    memory: memoryview = _scratches.memory
    return memory


def _hand_over(cycle: RequestResponseCycle, body: memoryview) -> None:
    """Let the application receive `body`, once it is whole, as it is."""

    async def receive() -> ASGIReceiveEvent:
        message = await RequestResponseCycle.receive(cycle)
        nonlocal body
        if message["type"] == "http.request" and not message["more_body"]:
            message["body"], body = body, memoryview(b"")  # type: ignore[typeddict-item]  # a buffer
        return message

    cycle.receive = receive  # type: ignore[method-assign]  # uvicorn has no other place for it


def _placed_length(scope: Any, headers: list[tuple[bytes, bytes]]) -> int:
    """The length of a body that gets a place, 0 for all others."""
    if scope["method"] != "POST" or not scope["path"].endswith(INFER):
        return 0
    lengths = [value for name, value in headers if name == b"content-length"]
    encoded = any(name == b"transfer-encoding" for name, _ in headers)
    if encoded or len(lengths) != 1 or not _is_count(lengths[0]):
        return 0
    length = int(lengths[0])
    return length if PLACED_BYTES_MIN <= length <= PLACED_BYTES_MAX else 0


def _header_length(headers: list[tuple[bytes, bytes]], length: int) -> int:
    """Where raw buffers begin, as far as the sender says something that may be true."""
    for name, value in headers:
        if name == _HEADER_LENGTH and _is_count(value):
            return min(int(value), length)
    return 0


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= LENGTH_DIGITS_MAX
