"""A node that takes a request and answers when it is told to, and that sees who hangs up."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from tests.waiting import PATIENCE_S

# What model `scale` makes of the body in `requests`.
ANSWER = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2, 4, 6, 8]}]}'


class SlowNode:
    """A raw HTTP server in a thread of its own."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.hung_up = threading.Event()
        self.may_answer = threading.Event()
        self.endpoint = ""
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.may_answer.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)

    def leave(self, client: httpx.Client, path: str, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Ask as `client`, and hang up as soon as the node has the request."""
        asked = client.build_request("POST", path, json=body, headers=headers)
        head = [
            f"POST {asked.url.raw_path.decode()} HTTP/1.1",
            *(f"{name}: {value}" for name, value in asked.headers.items()),
        ]
        with socket.create_connection((asked.url.host, asked.url.port or 80), timeout=PATIENCE_S) as line:
            line.sendall("\r\n".join([*head, "", ""]).encode() + asked.read())
            assert self.arrived.acquire(timeout=PATIENCE_S)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._up.set()
        self._loop.run_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        await reader.readexactly(next(int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length")))
        self.arrived.release()
        gone = asyncio.ensure_future(reader.read(1))
        while not self.may_answer.is_set() and not gone.done():  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(0.01)
        if gone.done():
            self.hung_up.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
            await writer.drain()
        writer.close()
