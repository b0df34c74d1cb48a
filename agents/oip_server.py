"""The node's Open Inference Protocol server: its socket, its thread and its event loop."""

import asyncio
import math
import secrets
import socket
from dataclasses import dataclass
from threading import Event, Thread

import structlog
import uvicorn
import uvloop

from agents.inference.admission import IN_FLIGHT_MAX, Admission
from agents.inference.batcher import BatchCounts
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.oip_app import OipApp
from agents.inference.run_queue import RunQueue
from backend.domain.errors import Invalid
from backend.gateway.oip.body_receiver import BODY_RECEIVER

ANY_ADDRESS = {"", "0.0.0.0"}  # noqa: S104  # compared with, not bound
BACKLOG = 512
KEEP_ALIVE_S = 5  # longer than the gateway keeps an idle connection, so that it never uses one we just closed
START_S = 2
GRACE_S = 4.0
TOKEN_BYTES = 32

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and by which host name or address others reach it (None: by the same)."""

    host: str = "127.0.0.1"
    advertised: str | None = None

    def told(self) -> str:
        """What others are told; in a container, which listens on all of its addresses, its own in its network.

        Raises Invalid(`no_advertised_host`).
        """
        if self.advertised or self.host not in ANY_ADDRESS:
            return self.advertised or self.host
        found = socket.gethostbyname(socket.gethostname())
        if found.startswith("127."):
            raise Invalid(
                f"this machine knows itself as {found} only, where nobody else reaches it",
                code="no_advertised_host",
                field="SWARMEX_ADVERTISE_HOST",
                accepted="the name or address by which the API reaches this machine",
            )
        return found


LOOPBACK = Address()


class OipServer:
    """Serves models at `endpoint` to whoever shows `token`, which is new at every start."""

    def __init__(
        self,
        catalogue: Catalogue,
        models: LoadedModels,
        *,
        address: Address = LOOPBACK,
        port: int = 0,
        in_flight_max: int = IN_FLIGHT_MAX,
        threads: int | None = None,
    ) -> None:
        self.batches = BatchCounts()
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._catalogue = catalogue
        self._models = models
        self._socket = socket.create_server((address.host, port), backlog=BACKLOG)
        # Kept, since a last beat may ask for it when the socket is closed. Connections queue until it is up.
        self.endpoint = f"http://{address.told()}:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._in_flight_max = in_flight_max
        self.runs = RunQueue(threads)
        self._app: OipApp | None = None
        self._up = Event()
        self._thread = Thread(target=self._serve, name="oip", daemon=True)

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._thread.start()

    def wait_up(self, timeout_s: float) -> bool:
        """Whether requests are being answered, waiting up to `timeout_s` for it."""
        return self._up.wait(timeout_s)

    def drain(self) -> None:
        """Refuse new requests from now on; those in flight go on."""
        if self._app is not None:
            self._app.admission.draining = True

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Let requests in flight end, for `grace_s` at most, and close."""
        if self._thread.ident is not None and self._up.wait(START_S):
            self.drain()
            if self._server is not None:
                self._server.config.timeout_graceful_shutdown = math.ceil(grace_s)
                self._server.should_exit = True
            self._thread.join(grace_s + 1)
        self._socket.close()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        admission = Admission(self._in_flight_max, self.runs)
        app = self._app = OipApp(self.token, self._catalogue, self._models, admission, self.batches)
        config = uvicorn.Config(
            app.asgi,
            http=BODY_RECEIVER,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._server = uvicorn.Server(config)
        self._up.set()
        log.info("oip.up", endpoint=self.endpoint)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            app.admission.close()
