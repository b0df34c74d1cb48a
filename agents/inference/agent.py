"""The inference agent: a consumer of its queue, a real-time server, and the models that both run.

It serves one node (queue `node.<id>`) or a pool of them (queue `pool.<name>`), and touches the database only
through the work port.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import ClassVar, Protocol

import structlog

from agents.base import SLICE_S, Agent, Identity, Pace
from agents.inference.batcher import BatchCounts
from agents.inference.catalogue import Catalogue
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.private_items import PrivateItems
from agents.inference.run_queue import RunQueue
from agents.inference.runner import UnitReport, UnitRunner
from agents.inference.sealing_keys import KeyRing
from agents.inference.training_items import TrainingItems
from agents.inference.training_lane import TrainingLane
from agents.oip_server import LOOPBACK, Address, OipServer
from agents.work_port import WorkPort
from backend.domain.fleet import DRAIN_MAX_S
from backend.domain.ids import UnitId
from backend.domain.work import UNIT_US_MAX, AgentBeat
from backend.messaging.ports import EventBus

FINISH_S = UNIT_US_MAX / 1e6 + 1.0  # for the unit that is running at a drain; what is left lapses
LEAVE_S = FINISH_S + 1.0  # for that and for the requests in flight, which end meanwhile

log = structlog.get_logger(__name__)


class Consumer(Protocol):
    """Brings units to whoever runs them, one at a time, in a thread of its own."""

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def stop(self) -> None:
        """Bring no more; returns at once."""
        ...

    def join(self, timeout_s: float) -> bool:
        """Whether nothing is being run any more, waiting up to `timeout_s` for it."""
        ...


Consume = Callable[[Callable[[UnitId], UnitReport]], Consumer]
"""Makes the consumer that calls a given function with each unit."""


Train = Callable[[ClaimKeeper], TrainingItems]
"""Makes what runs training items whose claims are kept."""


class Server(Protocol):
    """Answers real-time requests in threads of its own."""

    batches: BatchCounts
    runs: RunQueue

    @property
    def endpoint(self) -> str | None:
        """Where it is dialled; None if it fetches its requests."""
        ...

    @property
    def token(self) -> str | None:
        """What those who dial it show."""
        ...

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def drain(self) -> None:
        """Refuse new requests from now on; those in flight go on."""
        ...

    def stop(self, grace_s: float) -> None:
        """Let requests in flight end, for `grace_s` at most, and end."""
        ...


Serve = Callable[[Catalogue, LoadedModels], Server]
"""Makes the server of these models."""


class InferenceAgent(Agent):
    """Runs units and answers requests until drained."""

    name: ClassVar[str] = "inference"

    def __init__(
        self,
        identity: Identity,
        port: WorkPort,
        bus: EventBus,
        *,
        queue: str,
        models: LoadedModels,
        consume: "Consume",
        serve: "Serve | None" = None,  # by default a server for those who dial, at `address`
        address: Address = LOOPBACK,
        keys: KeyRing | None = None,  # without it, private orders are not for this agent
        train: Train | None = None,  # without it, neither is training
        told: Callable[[UnitReport], None] = lambda _: None,  # what became of fits, which end after their units
    ) -> None:
        super().__init__(identity, port, bus)
        self._queue = queue
        self._models = models
        self._catalogue = Catalogue(port)
        self._server: Server = (serve or partial(OipServer, address=address))(self._catalogue, self._models)
        self.batches = self._server.batches
        self._claims = ClaimKeeper(port)
        self._keys = keys
        private = PrivateItems(keys.folder if keys else None)
        self._training = train(self._claims) if train else None
        runner = UnitRunner(port, self._models, self._claims, self._server.runs, private)
        fits = UnitRunner(port, self._models, self._claims, training=self._training)
        self._lane = TrainingLane(runner, fits, told)
        self._consumer = consume(self._lane.run)

    def opened(self) -> None:
        self._server.start()
        self._claims.start()

    def registered(self) -> None:
        # Not before: a claim by an agent that nobody knows gets nothing, and the message would be spent.
        super().registered()
        self._consumer.start()

    def tick(self, _now: datetime) -> Pace:
        self._catalogue.refresh()
        if self._keys is not None:
            self._keys.refresh()
        return Pace.REST

    def drained(self) -> None:
        """Take nothing more, finish what runs, and only then let claims go.

        Who is in no hurry, since the coordinator asks and no signal did, may take DRAIN_MAX_S for it.
        """
        self._server.drain()
        self._consumer.stop()
        patience = time.monotonic() + DRAIN_MAX_S
        while not self._hurried and time.monotonic() < patience and not self._finished(SLICE_S):
            pass
        deadline = time.monotonic() + LEAVE_S
        if not self._finished(FINISH_S):
            log.warning("unit.abandoned", queue=self._queue)
            self.hand_back()
        if self._training is not None:  # not before: what is handed back by then is not reported as failed
            self._training.close()
        self._server.stop(max(LEAVE_S - FINISH_S, deadline - time.monotonic()))
        self._claims.stop()

    def _finished(self, timeout_s: float) -> bool:
        """Whether neither a unit nor a fit runs any more, waiting up to `timeout_s` for it."""
        deadline = time.monotonic() + timeout_s
        return self._consumer.join(timeout_s) and self._lane.join(max(0.0, deadline - time.monotonic()))

    def hand_back(self) -> None:
        """Give up what could not be finished in time; unless a port has a way to say so, it lapses."""

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
            work_done=self._lane.done,
            work_waiting=bool(self._claims.held()),
            tick_age_ms=self.tick_age_ms(),
        )
