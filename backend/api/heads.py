"""HEAD wherever there is a GET: its answer without the body (RFC 9110, section 9.3.2), for probes and downloaders."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Has HEAD answered, logged and counted as GET is; the server, whose scope stays as it was, sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            alone = _HeadAlone(receive, send)
            headers = [header for header in scope["headers"] if header[0] != b"range"]  # is for GET alone, 14.2
            await self._app({**scope, "method": "GET", "headers": headers}, alone.receive, alone.send)
        else:
            await self._app(scope, receive, send)


class _HeadAlone:
    """One such request: as soon as its answer has begun it has left, so that no file is read on for it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._complete = False
        self._answered = asyncio.Event()

    async def receive(self) -> Message:
        if not self._complete:
            message = await self._receive()
            self._complete = not message.get("more_body", False)
            return message
        await self._answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
        elif not self._answered.is_set():
            self._answered.set()
            await self._send({"type": "http.response.body"})
