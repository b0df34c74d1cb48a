"""Several nodes of one region on the market, each served by a faulty node of the test's, and what they earn."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import text

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, AgentId
from backend.domain.nodes import NodeSpec
from backend.domain.work import AgentBeat
from backend.services import allocation, fleet, holds, nodes, pricing, sessions
from backend.storage.nodes import Node
from tests.integration.api.faulty_node import FaultyNode
from tests.waiting import until

ASK_NANO = 1_000_000  # of the first node; each further one asks a tenth more
SLOTS = 4
BEAT_S = 0.5
CLEAR_S = 0.01


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease once its order is settled."""

    node: str
    reason: str
    granted_at: datetime
    ended_at: datetime
    price_nano_per_slot_s: int
    charged_nano: int


class Rack:
    """Nodes `n0`, `n1`, … that beat, serve and are allocated until the block ends; the cheapest first."""

    def __init__(self, market: Swarmex, provider: AccountId, count: int) -> None:
        self.market = market
        self.servers = [FaultyNode() for _ in range(count)]
        self.names = [f"n{number}" for number in range(count)]
        self._nodes = [self._offered(provider, number) for number in range(count)]
        self._agents = [AgentId(new_id()) for _ in range(count)]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._beat, self._clear)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for server in self.servers:
            self._stack.enter_context(server)
        self.beat()
        pricing.reprice(self.market.uow(), utc_now())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._stack.close()

    def beat(self) -> None:
        """One sign of life of every node's agent."""
        for agent, name, node, server in zip(self._agents, self.names, self._nodes, self.servers, strict=True):
            sign = AgentBeat(agent, "inference", name, "host", 1, node.queue, server.endpoint, server.token)
            fleet.beat(self.market.uow(), utc_now(), sign)

    def change_agent(self, number: int) -> None:
        """From now on a node wants another token, and says so."""
        self.servers[number].token = "another"
        self.beat()

    def leases(self) -> Sequence[Lease]:
        """All leases, oldest first, once each has ended and is settled."""
        until(self._settled, "every lease is settled")
        with self.market.engine.connect() as connection:
            rows = connection.execute(
                text("""
                    SELECT n.name, o.reason, l.granted_at, l.ended_at, l.price_nano_per_slot_s, o.charged_nano
                    FROM leases l JOIN orders o ON o.id = l.order_id JOIN nodes n ON n.id = l.node_id ORDER BY l.id
                """)
            )
            return [Lease(*row) for row in rows]

    def active(self) -> list[str]:
        """The nodes of the leases that have not ended, by name."""
        with self.market.engine.connect() as connection:
            return list(
                connection.execute(
                    text(
                        "SELECT n.name FROM leases l JOIN nodes n ON n.id = l.node_id"
                        " WHERE l.state = 'active' ORDER BY n.name"
                    )
                ).scalars()
            )

    def _settled(self) -> bool:
        sessions.settle_windows(self.market.uow(), utc_now())
        with self.market.engine.connect() as connection:
            return not connection.execute(
                text("SELECT count(*) FROM leases l JOIN orders o ON o.id = l.order_id WHERE o.state <> 'settled'")
            ).scalar_one()

    def _offered(self, provider: AccountId, number: int) -> Node:
        spec = NodeSpec(self.names[number], "cloud", "eu-1", SLOTS)
        node = nodes.register_node(self.market.uow(), utc_now(), provider, spec)
        ask = ASK_NANO + number * ASK_NANO // 10
        nodes.offer(self.market.uow(), utc_now(), node.id, ask, Principal(None, provider, Role.PROVIDER))
        return node

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_S):
            self.beat()

    def _clear(self) -> None:
        while not self._stopped.wait(CLEAR_S):
            epoch = allocation.clear_markets(self.market.uow, utc_now())
            holds.lower(self.market.uow(), utc_now(), epoch.leased)
