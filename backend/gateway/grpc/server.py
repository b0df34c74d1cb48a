"""The gRPC server around the service: its limits, its certificate, its address file and its orderly end."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import structlog

from backend.bootstrap import Swarmex
from backend.domain.errors import Conflict
from backend.domain.fleet import AgentKind
from backend.gateway import limits
from backend.gateway.certificates import TlsFiles
from backend.gateway.gateway import Gateway
from backend.gateway.grpc.calls import Calls
from backend.gateway.grpc.credentials import credentials
from backend.gateway.grpc.health import Health
from backend.gateway.grpc.metrics import CallMetrics, expose
from backend.gateway.grpc.pulse import Pulse
from backend.gateway.grpc.service import Service
from backend.gateway.member import Member

ADDRESS_FILE = "grpc.address"

log = structlog.get_logger("swarmex.grpc")


async def serve_until_told(market: Swarmex, name: str, tls: TlsFiles | None) -> None:
    """Serve as an agent of that name until SIGTERM, SIGINT or a drain, then let calls end for GRPC_DRAIN_S.

    Raises Conflict(`grpc_port_taken`), or what loading the certificate raises.
    """
    settings, loop, told = market.settings, asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    made = None if tls is None else credentials(tls)
    async with Gateway.running(market) as gateway, Pulse.running() as pulse:
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=limits.GRPC_CALLS_MAX)
        metrics = CallMetrics()
        calls = Calls(metrics)
        server.add_generic_rpc_handlers((Service(gateway, calls).handlers(), Health(gateway, calls).handlers()))
        expose(market, gateway, metrics)
        address = _listen(server, settings.grpc_host, settings.grpc_port, made)
        await server.start()
        url = f"{'grpc' if made is None else 'grpcs'}://{address}"

        def drain() -> None:
            loop.call_soon_threadsafe(told.set)

        member = Member(market, AgentKind.GRPC, name, url, drain, pulse.silent_s)
        member.start()
        with _Told(market.folder / ADDRESS_FILE, address):
            log.info("grpc.up", address=address, tls=made is not None, client_certificates=bool(tls and tls.client_ca))
            await told.wait()
        await server.stop(limits.GRPC_DRAIN_S)
        await asyncio.to_thread(member.stop)


OPTIONS = [
    ("grpc.max_receive_message_length", limits.GRPC_REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", limits.ANSWER_BYTES_MAX),
    ("grpc.max_metadata_size", limits.GRPC_METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", limits.GRPC_METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", limits.GRPC_CALLS_PER_CONNECTION_MAX),
    ("grpc.max_allowed_incoming_connections", limits.GRPC_CONNECTIONS_MAX),
    ("grpc.max_connection_idle_ms", int(limits.GRPC_IDLE_S * 1_000)),
    ("grpc.max_connection_age_ms", int(limits.GRPC_CONNECTION_S * 1_000)),
    ("grpc.max_connection_age_grace_ms", int(limits.GRPC_CONNECTION_GRACE_S * 1_000)),
    ("grpc.keepalive_time_ms", int(limits.GRPC_PING_EVERY_S * 1_000)),
    ("grpc.keepalive_timeout_ms", int(limits.GRPC_PING_TIMEOUT_S * 1_000)),
    ("grpc.http2.ping_timeout_ms", int(limits.GRPC_PING_TIMEOUT_S * 1_000)),  # without it the one above is not kept
    ("grpc.http2.min_ping_interval_without_data_ms", int(limits.GRPC_PINGED_EVERY_S * 1_000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
]


def _listen(server: grpc.aio.Server, host: str, port: int, made: grpc.ServerCredentials | None) -> str:
    """Bind, and say where clients find it; port 0 takes a free one."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(place) if made is None else server.add_secure_port(place, made)
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise Conflict(
            f"gRPC cannot listen on {host} port {port}",
            code="grpc_port_taken",
            field="SWARMEX_GRPC_PORT",
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
