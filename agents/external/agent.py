"""The external agent: one stand-in for each registered server, and one look at the database for what waits for all."""

import time
from datetime import datetime
from threading import Event
from typing import ClassVar

import structlog

from agents.base import Identity, Pace
from agents.direct import DirectAgent
from agents.external.stand_in import STOP_S, Place, StandIn
from agents.oip_server import Address
from backend.bootstrap import Swarmex
from backend.domain.events import Topic
from backend.domain.ids import NodeId
from backend.services import external_nodes, node_work
from backend.storage.external_nodes import ExternalServer

log = structlog.get_logger(__name__)


class ExternalAgent(DirectAgent):
    """Serves all nodes that are servers; replicas serve each of them together."""

    name: ClassVar[str] = "external"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.UNITS_READY, Topic.OFFERS_CHANGED)
    period_s: ClassVar[float] = 0.5

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        settings = app.settings
        self._address = Address(settings.bind_host, settings.advertise_host)
        self._folder = settings.cache / "external"
        self._stand_ins: dict[NodeId, StandIn] = {}
        self._bells: dict[str, Event] = {}

    def tick(self, _now: datetime) -> Pace:
        servers = {server.node_id: server for server in external_nodes.list_known(self.uow())}
        for node_id, stand_in in list(self._stand_ins.items()):
            if not _is_same(stand_in.server, servers.get(node_id)):
                self._end(node_id)
        for node_id in servers.keys() - self._stand_ins.keys():
            self._begin(servers[node_id])
        for queue in node_work.waited_for(self.uow(), list(self._bells)) if self._bells else ():
            self._bells[queue].set()
        return Pace.REST

    def drained(self) -> None:
        """Let all go at once, each finishing what it has; within STOP_S, however many they are."""
        for stand_in in self._stand_ins.values():
            stand_in.stop()
        deadline_s = time.monotonic() + STOP_S
        for stand_in in self._stand_ins.values():
            stand_in.join(max(0.0, deadline_s - time.monotonic()))

    def _begin(self, server: ExternalServer) -> None:
        bell = self._bells[server.queue] = Event()
        place = Place(self._address, self._folder / str(server.node_id))
        self._stand_ins[server.node_id] = StandIn(self.app, server, bell, place)
        self._stand_ins[server.node_id].start()

    def _end(self, node_id: NodeId) -> None:
        stand_in = self._stand_ins.pop(node_id)
        self._bells.pop(stand_in.server.queue, None)
        stand_in.stop()
        log.info("server.forgotten", node=stand_in.server.name)


def _is_same(one: ExternalServer, other: ExternalServer | None) -> bool:
    """Whether nothing was changed that a stand-in must begin anew for."""
    return other is not None and (one.url, one.credential, one.public_only, one.slots) == (
        other.url,
        other.credential,
        other.public_only,
        other.slots,
    )
