"""The gateway of one process: its caches, sessions and connections, started and ended together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Event, Topic
from backend.gateway.admission import TierAdmission
from backend.gateway.changes import Changes
from backend.gateway.hints import Hints
from backend.gateway.keys import Keys
from backend.gateway.leases.allowances import Allowances
from backend.gateway.leases.sessions import Sessions
from backend.gateway.limits import CLOSE_TIMEOUT_S, IN_FLIGHT_MAX
from backend.gateway.mail.mailbox import Mailbox
from backend.gateway.mail.post import Post
from backend.gateway.meters import Meters
from backend.gateway.models import Models, ServedModel, Versions
from backend.gateway.oip.statistics import Statistics
from backend.gateway.probes import Probes
from backend.gateway.rates.permits import BREAKER_POLICY, Permits
from backend.gateway.rates.rates import Rates, process_name
from backend.gateway.routing.node_client import NodeClient
from backend.gateway.threads import Threads
from backend.services import api_keys, changes, models, nodes, rates

HINTS = (Topic.KEYS_CHANGED, Topic.LEASES_GRANTED, Topic.LEASES_ENDED, Topic.ORDERS_CLEARED, Topic.ORDERS_CLOSED)


class Gateway:
    """Everything that a request on the hot path needs; made by `running`, inside the event loop."""

    def __init__(self, market: Swarmex) -> None:
        self.threads = Threads()
        self.changes = Changes(lambda: changes.versions(market.uow()), self.threads)
        self.keys = Keys(lambda secret: api_keys.authenticate(market.uow(), secret), self.threads, self.changes)
        self.models = Models(
            lambda name, version: _served(market, name, version), lambda: _index(market), self.threads, self.changes
        )
        self.statistics = Statistics()
        self.meters = Meters()
        self.mailbox = Mailbox(market.redis_url, market.settings.bus_namespace)
        self.post = Post(
            self.mailbox, lambda ids: self.threads.run(lambda: nodes.living_nodes(market.uow(), utc_now(), ids))
        )
        self.nodes = NodeClient(breakers=market.breakers, polled=self.post)
        self.sessions = Sessions(market, self.threads, self.nodes.refuses)
        self.allowances = Allowances(market, self.threads, self.sessions.gateway_id, lambda: self.sessions.pools)
        self.probes = Probes(market, self.threads)
        self.requests = TierAdmission(IN_FLIGHT_MAX)
        self.rates = _rates(market, self.threads, self.changes)

    @staticmethod
    @asynccontextmanager
    async def running(market: Swarmex) -> AsyncIterator["Gateway"]:
        """A gateway that polls, renews and listens until the block ends; then its sessions are ended."""
        gateway = Gateway(market)
        hints = Hints(market.bus, HINTS, gateway.heard)
        await gateway.changes.look()  # before the first request comes: nothing is served by what nobody asked for
        tasks = [asyncio.create_task(gateway.changes.run()), asyncio.create_task(gateway.sessions.run())]
        tasks += [asyncio.create_task(gateway.rates.run()), asyncio.create_task(gateway.allowances.reports.run())]
        try:
            yield gateway
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)  # a cancellation may be swallowed below
            await hints.close()
            ends = [asyncio.ensure_future(part.close()) for part in (gateway.sessions, gateway.allowances)]
            await asyncio.wait(ends, timeout=CLOSE_TIMEOUT_S)
            await gateway.rates.close()
            await gateway.nodes.close()
            await gateway.post.close()
            gateway.probes.close()
            gateway.threads.close()

    def heard(self, events: Sequence[Event]) -> None:
        """React to hints from the bus."""
        topics = {event.topic for event in events}
        if Topic.KEYS_CHANGED in topics:
            self.changes.hint()
        if topics & {Topic.LEASES_GRANTED, Topic.ORDERS_CLEARED, Topic.ORDERS_CLOSED}:
            self.sessions.granted()


def _rates(market: Swarmex, threads: Threads, watched: Changes) -> Rates:
    # Not shared: over Redis, nobody can be told that Redis is away.
    breaker = market.breakers.get("rates", "redis", BREAKER_POLICY, shared=False)
    permits = Permits(market.redis_url, market.settings.bus_namespace, process_name(), breaker)
    return Rates(lambda key_id: rates.limits_of(market.uow(), key_id), permits, threads, watched)


def _served(market: Swarmex, name: str, version: int | None) -> ServedModel:
    model = models.get_model(market.uow(), name, version)
    ref = model.ref
    versions = tuple(m.ref.version for m in models.list_models(market.uow()) if m.ref.name == ref.name)
    return ServedModel(ref.name, ref.version, versions, ref.signature, model.profile)


def _index(market: Swarmex) -> Versions:
    return tuple((model.ref.name, model.ref.version) for model in models.list_models(market.uow()))
