"""The inference agent: a consumer of its queue, a real-time server, and the models that both run.

It serves one node (queue `node.<id>`) or a pool of them (queue `pool.<name>`), and touches the database only
through the work port.
"""

import time
from datetime import datetime
from typing import ClassVar

import structlog

from agents.base import Agent, Identity, Pace
from agents.engines.base import Engine
from agents.inference.catalogue import Catalogue
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from agents.tasks import register_run_unit
from agents.work_port import WorkPort
from backend.domain.work import UNIT_US_MAX, AgentBeat
from backend.messaging.bus import Bus
from backend.messaging.celery_app import celery_app
from backend.messaging.consumer import UnitConsumer

FINISH_S = UNIT_US_MAX / 1e6 + 1.0  # for the unit that is running at a drain; what is left lapses
LEAVE_S = FINISH_S + 1.0  # for that and for the requests in flight, which end meanwhile

log = structlog.get_logger(__name__)


class InferenceAgent(Agent):
    """Runs units and answers requests until drained."""

    name: ClassVar[str] = "inference"

    def __init__(
        self,
        identity: Identity,
        port: WorkPort,
        bus: Bus,
        *,
        redis_url: str,
        queue: str,
        cache: ModelCache,
        engine: Engine,
    ) -> None:
        super().__init__(identity, port, bus)
        self._queue = queue
        self._models = LoadedModels(cache, engine)
        self._catalogue = Catalogue(port)
        self._server = OipServer(self._catalogue, self._models)
        self._claims = ClaimKeeper(port)
        broker = celery_app(redis_url)
        register_run_unit(broker, UnitRunner(port, self._models, self._claims).run)
        self._consumer = UnitConsumer(broker, queue, f"{identity.name}@{identity.host}")

    def opened(self) -> None:
        self._server.start()
        self._claims.start()

    def registered(self) -> None:
        # Not before: a claim by an agent that nobody knows gets nothing, and the message would be spent.
        super().registered()
        self._consumer.start()

    def tick(self, _now: datetime) -> Pace:
        self._catalogue.refresh()
        return Pace.REST

    def drained(self) -> None:
        """Take nothing more, finish what runs, and only then let claims go."""
        deadline = time.monotonic() + LEAVE_S
        self._server.drain()
        self._consumer.stop()
        if not self._consumer.join(FINISH_S):
            log.warning("unit.abandoned", queue=self._queue)
        self._server.stop(max(LEAVE_S - FINISH_S, deadline - time.monotonic()))
        self._claims.stop()

    def beat(self) -> AgentBeat:
        who = self.identity
        return AgentBeat(
            who.agent_id,
            self.name,
            who.name,
            who.host,
            who.pid,
            queue=self._queue,
            endpoint=self._server.endpoint,
            token=self._server.token,
        )
