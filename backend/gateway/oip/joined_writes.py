"""The head of an answer and what follows it leave together.

Uvicorn writes them one after the other, and uvloop sends whatever is written at once: two calls of the kernel, two
packets, and whoever reads is woken twice, for the head alone first.
"""

import asyncio
from typing import Any

JOINED_BYTES_MAX = 1 << 16  # a longer piece is not copied to its head, only sent with it


class JoinedWrites(asyncio.Transport):
    """A transport that keeps the first piece of an answer until the second is there, or for a turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._sending: asyncio.Handle | None = None  # of a head that nothing follows
        self._begins = True

    def answered(self) -> None:
        """What is written next is the head of another answer."""
        self._begins = True

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send it, after what was written before."""
        if self._begins:
            self._send_head()
            self._begins, self._head = False, bytes(data)
            self._sending = self._loop.call_soon(self._send_head)
        elif not self._head:
            self._transport.write(data)
        else:
            head = self._taken()
            if len(data) > JOINED_BYTES_MAX:
                self._transport.writelines((head, data))
            else:
                self._transport.write(b"".join((head, data)))

    def close(self) -> None:
        """Send what is left, and hang up."""
        self._send_head()
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._taken()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is hung up, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection knows of itself."""
        return self._transport.get_extra_info(name, default)

    def _send_head(self) -> None:
        if self._head:
            self._transport.write(self._taken())

    def _taken(self) -> bytes:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        head, self._head = self._head, b""
        return head
