"""One connection to a node: HTTP/1.1, one request at a time.

A general client took a third of all the time that the gateway has for a request.
"""

import asyncio
from typing import cast

from backend.gateway.routing.answer_reader import AnswerReader, BrokenOff, Reply

READ_BYTES = 1 << 14  # at once, where the answer's length is not known yet
JOINED_BYTES_MAX = 1 << 16  # a body up to this size leaves in one piece with its head


class NeverSent(Exception):
    """The request has not left: whoever is there cannot have run it."""


class Connection(asyncio.BufferedProtocol):
    """Kept open between requests; closed for good by whatever goes wrong with one."""

    def __init__(self, answer_bytes_max: int) -> None:
        self.idle_since_s = 0.0
        self._answer_bytes_max = answer_bytes_max
        self._read = memoryview(bytearray(READ_BYTES))
        self._reader: AnswerReader | None = None  # while a request is under way
        self._answer: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, head: bytes, body: bytes | memoryview) -> Reply:
        """The answer to a request of this head and body; raises NeverSent, BrokenOff. Cancelling it hangs up."""
        if self._transport is None or not self.open:
            raise NeverSent("the connection is closed")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._reader = AnswerReader(self._answer_bytes_max)
        if len(body) > JOINED_BYTES_MAX:
            self._transport.writelines((head, body))
        else:
            self._transport.write(b"".join((head, body)))
        try:
            return await answer
        except BaseException:
            self.close()
            raise
        finally:
            if self._reader is not None:
                self._reader.end()
            self._answer = self._reader = None

    @property
    def open(self) -> bool:
        """Whether the next request may use it."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    # --------------------------------------------------------------------------------- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self._transport = None
        if exc is None and self._reader is not None and self._reader.ends_by_closing:
            self._end(self._reader.reply)
            return
        self._end(BrokenOff(f"the connection was closed: {exc}" if exc else "the connection was closed"))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # as the loop calls it
        """Where the next bytes go."""
        return self._reader.place() if self._reader and self._reader.in_place else self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that came; those that nobody asked for end the connection."""
        reader = self._reader
        if reader is None or reader.whole:
            self.close()
            return
        try:
            whole = reader.placed(nbytes) if reader.in_place else reader.feed(self._read[:nbytes])
        except BrokenOff as error:
            self._end(error)
            return
        if whole:
            self._end(reader.reply)
            if not reader.reusable:
                self.close()

    def _end(self, outcome: Reply | BrokenOff) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(outcome, BrokenOff):
            self._answer.set_exception(outcome)
        else:
            self._answer.set_result(outcome)
