"""The inference agent of a node whose models run on a server: what differs is where they run, and how many at once."""

from dataclasses import replace
from datetime import datetime
from threading import Event

import structlog

from agents.base import Identity, Pace
from agents.external.lanes import Feed, Lanes
from agents.external.models import ServerModels
from agents.external.port import ServerPort
from agents.inference.agent import InferenceAgent
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.inference.sparing import Spared
from agents.oip_server import Address, OipServer
from backend.domain.errors import SwarmexError
from backend.domain.work import AgentBeat
from backend.messaging.memory_bus import MemoryBus, MemoryServer
from backend.storage.external_nodes import ExternalServer

CALLS_MIN, CALLS_MAX = 4, 32  # requests to one server at once: one a slot between these
LANES_MAX = 8  # units that are run there at once: one a slot, at most these

log = structlog.get_logger(__name__)


class ServerAgent(InferenceAgent):
    """Stands for one node while its server answers; it hands back what it cannot finish."""

    def __init__(
        self,
        identity: Identity,
        port: ServerPort,
        server: ExternalServer,
        models: ServerModels,
        address: Address,
        bell: Event,
    ) -> None:
        calls = max(CALLS_MIN, min(server.slots, CALLS_MAX))

        def serve(catalogue: Catalogue, held: LoadedModels) -> OipServer:
            return OipServer(catalogue, held, address=address, threads=calls)

        super().__init__(
            identity,
            port,
            MemoryBus(MemoryServer()),  # it hears nothing; the bell is what wakes it
            queue=server.queue,
            models=models,
            consume=lambda _: Lanes(Feed(port.units, bell), [runner.run for runner in self._lanes(port, server.slots)]),
            serve=serve,
        )
        self.port = port
        self.is_known = False

    def _lanes(self, port: ServerPort, slots: int) -> list[UnitRunner]:
        """A runner for each unit that runs at once, which share the claims that are kept."""
        runs, spared = self._server.runs, Spared()
        self._runners = [
            UnitRunner(port, self._models, self._claims, runs, spared=spared) for _ in range(min(slots, LANES_MAX))
        ]
        return self._runners

    def tick(self, now: datetime) -> Pace:
        pace = super().tick(now)
        self._turned()
        return pace

    def beat(self) -> AgentBeat:
        return replace(super().beat(), work_done=sum(runner.done for runner in self._runners))

    def hand_back(self) -> None:
        """Return what is held, so that it runs elsewhere at once."""
        try:
            self.port.release(self._claims.held())
        except SwarmexError as error:  # then it lapses
            log.warning("items.not_handed_back", code=error.code)
