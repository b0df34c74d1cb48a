"""A node that answers model `scale` well, or misbehaves as it is told to."""

import asyncio
import threading
from types import TracebackType
from typing import Self

import orjson

from tests.integration.api.requests import ROW
from tests.waiting import PATIENCE_S

GOOD, FAILS, HANGS, IS_SLOW, SENDS_GARBAGE = "good", "fails", "hangs", "is slow", "sends garbage"
IS_BUSY, BREAKS = "is busy", "breaks"
SLOW_S = 0.3
_OUTPUTS = [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2 * x for x in ROW]}]
_ANSWER = orjson.dumps({"outputs": _OUTPUTS})
_SAID: dict[str, tuple[str, bytes]] = {
    GOOD: ("200 OK", _ANSWER),
    IS_SLOW: ("200 OK", _ANSWER),
    SENDS_GARBAGE: ("200 OK", b"<html>" * 100),
    IS_BUSY: ("429 Too Many Requests", b'{"error": "all places are taken"}'),
    BREAKS: ("500 Internal Server Error", b'{"error": "the model broke"}'),
}
_UNKNOWN = ("401 Unauthorized", b'{"error": "the token of the agent is asked for"}')


class FaultyNode:
    """A raw HTTP server in a thread of its own; `count` is how many requests have reached it whole."""

    def __init__(self) -> None:
        self.behaviour = GOOD
        self.slow_s = SLOW_S
        self.token = "token"
        self.count = 0
        self.endpoint = ""
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def die(self) -> None:
        """Nobody listens any more when this returns."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE_S)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()

    def _run(self) -> None:
        self._server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._up.set()
        self._loop.run_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        await reader.readexactly(next(int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length")))
        self.count += 1
        if self.behaviour == HANGS:
            await reader.read()  # until it is hung up on
        elif self.behaviour != FAILS:
            if self.behaviour == IS_SLOW:
                await asyncio.sleep(self.slow_s)
            known = b"authorization: bearer %b" % self.token.encode() in lines
            status, body = _SAID[self.behaviour] if known else _UNKNOWN
            headers = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(headers.encode() + body)
            await writer.drain()
        writer.close()
