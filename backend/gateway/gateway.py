"""The gateway of one process: its caches, sessions and connections, started and ended together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from backend.bootstrap import Swarmex
from backend.domain.events import Event, Topic
from backend.gateway.admission import Admission
from backend.gateway.changes import Changes
from backend.gateway.hints import Hints
from backend.gateway.keys import Keys
from backend.gateway.limits import CLOSE_TIMEOUT_S, IN_FLIGHT_MAX
from backend.gateway.models import Models, ServedModel
from backend.gateway.node_client import NodeClient
from backend.gateway.probes import Probes
from backend.gateway.sessions import Sessions
from backend.gateway.threads import Threads
from backend.services import accounts, changes, models


class Gateway:
    """Everything that a request on the hot path needs; made by `running`, inside the event loop."""

    def __init__(self, market: Swarmex) -> None:
        self.threads = Threads()
        self.changes = Changes(lambda: changes.versions(market.uow()), self.threads)
        self.keys = Keys(lambda secret: accounts.authenticate(market.uow(), secret), self.threads, self.changes)
        self.models = Models(lambda name, version: _served(market, name, version), self.threads, self.changes)
        self.sessions = Sessions(market, self.threads)
        self.nodes = NodeClient(breakers=market.breakers)
        self.probes = Probes(market, self.threads)
        self.requests = Admission(IN_FLIGHT_MAX)

    @staticmethod
    @asynccontextmanager
    async def running(market: Swarmex) -> AsyncIterator["Gateway"]:
        """A gateway that polls, renews and listens until the block ends; then its sessions are ended."""
        gateway = Gateway(market)
        hints = Hints(market.bus, gateway.heard)
        await gateway.changes.look()  # before the first request comes: nothing is served by what nobody asked for
        tasks = [asyncio.create_task(gateway.changes.run()), asyncio.create_task(gateway.sessions.run())]
        try:
            yield gateway
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await hints.close()
            await asyncio.wait([asyncio.ensure_future(gateway.sessions.close())], timeout=CLOSE_TIMEOUT_S)
            await gateway.nodes.close()
            gateway.probes.close()
            gateway.threads.close()

    def heard(self, events: Sequence[Event]) -> None:
        """React to hints from the bus."""
        topics = {event.topic for event in events}
        if Topic.KEYS_CHANGED in topics:
            self.changes.hint()
        if topics & {Topic.LEASES_GRANTED, Topic.ORDERS_CLEARED, Topic.ORDERS_CLOSED}:
            self.sessions.granted()


def _served(market: Swarmex, name: str, version: int | None) -> ServedModel:
    ref = models.get_model(market.uow(), name, version).ref
    versions = tuple(m.ref.version for m in models.list_models(market.uow()) if m.ref.name == name)
    return ServedModel(ref.name, ref.version, versions, ref.signature)
