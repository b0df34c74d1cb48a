"""The uvicorn server around the application: one process, a socket of our own, a file that tells its address."""

import os
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from backend.api.limits import CONNECTIONS_MAX, DRAIN_S
from backend.gateway.oip.body_receiver import BODY_RECEIVER

ADDRESS_FILE = "api.url"
BACKLOG = 1_024


def bind(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one. Raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or Nagle would stay on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # whoever is told the address before the server is up waits, and is not refused
    except OSError:
        bound.close()
        raise
    return bound


def url_of(bound: socket.socket) -> str:
    """Where clients find the server; an address of all interfaces is told as this machine's own."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # read, not bound
    return f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Uvicorn, which writes its address once it answers and removes it when it ends."""

    def __init__(self, app: FastAPI, bound: socket.socket, folder: Path) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=BODY_RECEIVER,
                ws="none",
                lifespan="on",
                backlog=BACKLOG,
                limit_concurrency=CONNECTIONS_MAX,
                access_log=False,  # ours carries ids
                log_config=None,
                server_header=False,
                proxy_headers=False,  # nobody in front of us is trusted to name clients
                timeout_graceful_shutdown=int(DRAIN_S),
            )
        )
        self._bound = bound
        self._address = folder / ADDRESS_FILE
        self.url = url_of(bound)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell where."""
        await super().startup(sockets=sockets)
        self._address.parent.mkdir(parents=True, exist_ok=True)
        part = self._address.with_name(f"{ADDRESS_FILE}.{os.getpid()}.part")
        part.write_text(self.url + "\n")
        part.replace(self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the address back before the last requests are finished; another server's is left alone."""
        if self._address.exists() and self._address.read_text().strip() == self.url:
            self._address.unlink()
        await super().shutdown(sockets=sockets)

    def serve_until_told(self) -> None:
        """Serve until a signal or `should_exit`."""
        self.run(sockets=[self._bound])
