"""One server that stands for a node: asked every second whether it is ready, and an inference agent for while it is."""

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import structlog

from agents.base import Identity
from agents.external.models import ServerModels
from agents.external.port import ServerPort
from agents.external.server_agent import ServerAgent
from agents.oip_server import Address
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.errors import SwarmexError
from backend.domain.external_nodes import EXTERNAL_AGENT, ServerState
from backend.domain.ids import AgentId
from backend.domain.work import BEAT_S
from backend.messaging.inference_server import BREAKER_POLICY, InferenceServer
from backend.messaging.server_look import ask_models, ask_ready
from backend.services import external_nodes, node_work
from backend.storage.external_nodes import ExternalServer

LOOK_EVERY_S = 10.0
FAILURES_MAX = 2  # in a row, then the node is offline at once; a beat that is left out makes it so in seconds
STOP_S = 15.0  # for all of them together

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the adapter runs."""

    address: Address
    folder: Path


class StandIn:
    """Runs in a thread of its own, so that a server that hangs holds up nobody else."""

    def __init__(self, app: Swarmex, server: ExternalServer, bell: Event, place: Place) -> None:
        self.server = server
        self.agent_id: AgentId | None = None  # while the node is online
        self._app = app
        self._bell = bell
        self._place = place
        breaker = app.breakers.get("backend", server.url.partition("://")[2], BREAKER_POLICY, shared=False)
        self._calls = InferenceServer(server.url, server.credential, breaker, public_only=server.public_only)
        # Of its own, without a breaker: what real requests meet must not keep it from being asked how it is.
        self._asks = InferenceServer(server.url, server.credential, public_only=server.public_only)
        self._agent: ServerAgent | None = None
        self._failures = 0
        self._state: tuple[ServerState, str | None] | None = None
        self._look_due_s = 0.0
        self._looking: Thread | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._stand, name=f"server {server.name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let what is in flight end, and go; returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, so long at most."""
        self._thread.join(timeout_s)

    def _stand(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # of any layer below: the coordinator may be away, and comes back
                log.warning("server.turn_failed", node=self.server.name, error=repr(error))
            self._stopping.wait(BEAT_S)
        self._leave()
        self._calls.close()
        self._asks.close()

    def _turn(self) -> None:
        """Ask the server how it is, and say so to the coordinator."""
        try:
            ask_ready(self._asks)
            if self._agent is None:
                self._look()  # nothing is leased on it before it is known what it serves
        except SwarmexError as error:
            self._failures += 1
            if self._failures >= FAILURES_MAX or self._agent is None:
                self._leave()
                self._say(ServerState.DOWN, error.message)
            return
        self._failures = 0
        self._beat(self._agent or self._enter())
        self._look_again()

    def _enter(self) -> ServerAgent:
        agent_id = AgentId(new_id())
        identity = Identity.of_this_process(agent_id, EXTERNAL_AGENT + self.server.name)
        port = ServerPort(self._app, self.server, agent_id)
        models = ServerModels(self._place.folder, self._calls, vouched=not self.server.public_only)
        self._agent = ServerAgent(identity, port, self.server, models, self._place.address, self._bell)
        self._agent.opened()
        self.agent_id = agent_id
        return self._agent

    def _beat(self, agent: ServerAgent) -> None:
        answer = agent.port.beat(agent.beat())
        if not agent.is_known:
            agent.is_known = True
            agent.registered()
        agent.tick(utc_now())
        if answer.drain:  # somebody believes it lost: the next turn makes another one
            self._leave()

    def _leave(self) -> None:
        """Nobody stands for the node from now on: what it has in hand is handed back."""
        agent, self._agent = self._agent, None
        if agent is None:
            return
        self.agent_id = None
        agent.hurry()
        agent.drained()
        try:
            agent.port.stopped(agent.identity.agent_id)
        except Exception as error:  # of any layer below; then the others notice by the missing beats
            log.warning("server.leave_not_recorded", node=self.server.name, error=repr(error))
        log.info("server.left", node=self.server.name)

    def _look_again(self) -> None:
        """Look at its models now and then, in another thread: the next beat cannot wait for it."""
        if time.monotonic() < self._look_due_s or (self._looking is not None and self._looking.is_alive()):
            return
        self._looking = Thread(target=self._try_look, name=f"look {self.server.name}", daemon=True)
        self._looking.start()

    def _try_look(self) -> None:
        try:
            self._look()
        except Exception as error:  # of any layer below; it is looked at again
            log.warning("server.look_failed", node=self.server.name, error=repr(error))

    def _look(self) -> None:
        self._look_due_s = time.monotonic() + LOOK_EVERY_S
        models = [model.ref for model in node_work.list_models(self._app.uow())]
        fits = ask_models(self._asks, models)
        served = [fit.model_id for fit in fits if fit.why_not is None]
        told = None if served else "it serves none of the registered models; `swarmex node external check` says why"
        state = ServerState.UP, told
        external_nodes.saw_server(self._app.uow(), utc_now(), self.server.node_id, *state, models=served)
        if self._state != state:
            log.info("server.up", node=self.server.name, url=self.server.url, models=len(served))
        self._state = state

    def _say(self, state: ServerState, told: str) -> None:
        if self._state != (state, told):
            external_nodes.saw_server(self._app.uow(), utc_now(), self.server.node_id, state, told)
            log.warning("server.down", node=self.server.name, url=self.server.url, why=told)
            self._state = state, told
