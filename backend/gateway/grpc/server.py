"""The gRPC server around the service: its limits, its address file and its orderly end."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import structlog

from backend.bootstrap import Swarmex
from backend.domain.errors import Conflict
from backend.gateway.gateway import Gateway
from backend.gateway.grpc.calls import Calls
from backend.gateway.grpc.metrics import CallMetrics, expose
from backend.gateway.grpc.service import Service
from backend.gateway.limits import ANSWER_BYTES_MAX, GRPC_CALLS_MAX, GRPC_DRAIN_S, GRPC_REQUEST_BYTES_MAX

ADDRESS_FILE = "grpc.address"

log = structlog.get_logger("swarmex.grpc")


async def serve_until_told(market: Swarmex, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then let calls end for GRPC_DRAIN_S; raises Conflict(`grpc_port_taken`)."""
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told.set)
    async with Gateway.running(market) as gateway:
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", GRPC_REQUEST_BYTES_MAX),
                ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=GRPC_CALLS_MAX,
        )
        metrics = CallMetrics()
        server.add_generic_rpc_handlers((Service(gateway, Calls(metrics)).handlers(),))
        expose(market, gateway, metrics)
        address = _listen(server, host, port)
        await server.start()
        with _Told(market.folder / ADDRESS_FILE, address):
            log.info("grpc.up", address=address)
            await told.wait()
        await server.stop(GRPC_DRAIN_S)


def _listen(server: grpc.aio.Server, host: str, port: int) -> str:
    """Bind, and say where clients find it; port 0 takes a free one."""
    try:
        bound = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise Conflict(
            f"gRPC cannot listen on {host} port {port}",
            code="grpc_port_taken",
            field="--port",
            accepted="a free port, or 0 for any",
        )
    seen = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # read, not bound
    return f"{seen}:{bound}"


class _Told:
    """A file that tells the address while the server answers; another server's is left alone."""

    def __init__(self, path: Path, address: str) -> None:
        self._path = path
        self._address = address

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        part.write_text(self._address + "\n")
        part.replace(self._path)

    def __exit__(self, *_: object) -> None:
        if self._path.exists() and self._path.read_text().strip() == self._address:
            self._path.unlink()
