"""A small market for tests: real services on a real database, with an executor in the test's own hands."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from backend.bootstrap import Settings, Swarmex, connect_node, new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, AgentId
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.nodes import NodeSpec
from backend.domain.orders import WorkloadRequest
from backend.domain.work import AGENT_LOST_S, AgentBeat, ClaimedItem, Dispatch, ItemResult
from backend.services import (
    accounts,
    allocation,
    deposits,
    holds,
    models,
    nodes,
    orders,
    organisations,
    relay,
    settlement,
)
from backend.storage.models import Model
from backend.storage.node_database import NodeDatabase
from backend.storage.nodes import Node
from backend.storage.order_rows import Order
from tests.onnx_files import request as tensor_request
from tests.onnx_files import write_doubling

REQUEST = tensor_request((1.0, 2.0))
ASK = 1_000_000


@dataclass
class Executor:
    """An inference agent's side of the work functions, step by step."""

    database: NodeDatabase
    queue: str
    id: AgentId = field(default_factory=lambda: AgentId(new_id()))

    def beat(self) -> None:
        """Show a sign of life."""
        self.database.agent_beat(
            AgentBeat(self.id, "inference", "test", "host", 1, self.queue, "http://127.0.0.1:1", "t")
        )

    def claim(self, dispatches: Sequence[Dispatch]) -> list[ClaimedItem]:
        """Claim every unit of this queue that was dispatched."""
        return [i for d in dispatches if d.queue == self.queue for i in self.database.claim(self.id, d.unit_id)]

    def commit(self, items: Sequence[ClaimedItem], busy_us: int = 5) -> set[object]:
        """Commit results for claimed items; returns the ids that counted."""
        results = [ItemResult(i.item_id, i.fence, busy_us, b'{"outputs":[]}') for i in items]
        return set(self.database.commit(self.id, results))


class Market:
    """One buyer with money, one provider, one model; nodes as asked for."""

    _beats: tuple[Callable[[], object], ...] = ()
    _beaten_s = 0.0

    def __init__(self, database_url: str, node_database_url: str, redis_url: str, namespace: str, folder: Path) -> None:
        settings = Settings(data_folder=folder, database_url=database_url, redis_url=redis_url, bus_namespace=namespace)
        self.app = Swarmex(settings, database_url, redis_url)
        self.node_database = connect_node(settings.model_copy(update={"node_database_url": node_database_url}))
        self.buyer = self.account("buyer", 1_000 * NANO_PER_CREDIT)
        self.provider = self.account("provider")
        self.model = self.register("doubling")

    def account(self, name: str, nano: int = 0) -> Principal:
        """An account with that much in its wallet."""
        account_id: AccountId = accounts.create_account(self.app.uow(), utc_now(), name).id
        if nano:
            deposits.deposit(self.app.uow(), utc_now(), account_id, nano, f"payment for {name}")
        return Principal(None, account_id, Role.PROVIDER)

    def organisation(self, name: str, *members: str) -> tuple[AccountId, Principal, Principal, Principal]:
        """An organisation with an owner and two members: its id, the owner, and the members as its keys tell them."""
        owner = self.account(f"{name}-owner")
        made = organisations.create_organisation(self.app.uow(), utc_now(), owner, name).account.id
        people = [self.account(member).account_id for member in members]
        for person in people:
            organisations.put_member(self.app.uow(), utc_now(), owner, made, person, "member")
        first, second = (Principal(None, made, Role.USER, person) for person in people)
        return made, owner, first, second

    def register(self, name: str, path: Path | None = None) -> Model:
        """The model of a file under that name, or a tiny one."""
        with tempfile.TemporaryDirectory() as folder:
            path = path or write_doubling(Path(folder) / "model.onnx")
            return models.register_model(self.app.uow(), utc_now(), self.app.objects, name, path)

    def node(
        self,
        name: str,
        slots: int = 1,
        ask: int = ASK,
        pool: str = "pool",
        kind: str = "fog",
        region: str = "north",
        **hardware: Any,
    ) -> Node:
        """A node with an open offer; it lives while an executor of its pool beats."""
        spec = NodeSpec(name, kind, region, slots, pool, **hardware)
        node = nodes.register_node(self.app.uow(), utc_now(), self.provider.account_id, spec)
        nodes.offer(self.app.uow(), utc_now(), node.id, ask, self.provider)
        return node

    def executor(self, pool: str = "pool") -> Executor:
        """An executor of a pool's nodes, alive for the next seconds."""
        executor = Executor(self.node_database, f"pool.{pool}")
        self.keep_alive(executor.beat)
        return executor

    def keep_alive(self, beat: Callable[[], object]) -> None:
        """Beat now, and again whenever `stay_alive` finds it due, as `clear` does: signs of life lapse in seconds."""
        if not self._beats:  # of several the first is due first
            self._beaten_s = time.monotonic()
        beat()
        self._beats = (*self._beats, beat)

    def stay_alive(self) -> None:
        """Beat again if that is due."""
        if time.monotonic() - self._beaten_s > AGENT_LOST_S / 2:
            for beat in self._beats:
                beat()
            self._beaten_s = time.monotonic()

    def request(self, **changes: object) -> WorkloadRequest:
        """An inference of one row in tier medium, or as changed."""
        values: dict[str, object] = {
            "workload": "inference",
            "model": "doubling",
            "tier": "medium",
            "requests": [REQUEST],
        }
        return WorkloadRequest(**(values | changes))  # type: ignore[arg-type]  # a test's own words

    def place(self, count: int = 1, **changes: object) -> list[Order]:
        """Orders of the buyer; fails the test if one is refused."""
        requests = [self.request(**changes) for _ in range(count)]
        placed = orders.place_orders(self.app.uow(), utc_now(), self.buyer, requests)
        assert all(isinstance(result, Order) for result in placed.results), placed.results
        return [result for result in placed.results if isinstance(result, Order)]

    def clear(self, now: datetime | None = None) -> int:
        """One epoch of every market, and the holds that follow its prices; returns how many orders got anywhere."""
        if now is None:
            self.stay_alive()
        at = now or utc_now()
        epoch = allocation.clear_markets(self.app.uow, at)
        holds.lower(self.app.uow(), at, epoch.leased)
        return epoch.advanced

    def dispatched(self) -> list[Dispatch]:
        """What the relay would hand to the broker."""
        sent: list[Dispatch] = []
        relay.relay(self.app.uow(), utc_now(), sent.extend)
        return sent

    def settle(self, now: datetime | None = None) -> int:
        """One settlement batch."""
        return settlement.settle_finished(self.app.uow(), now or utc_now())

    def run(self, executor: Executor) -> None:
        """Clear, execute and settle what is open, once."""
        self.clear()
        executor.commit(executor.claim(self.dispatched()))
        self.settle()

    def show(self, order: Order) -> Order:
        """The order as it is now."""
        return orders.show_order(self.app.uow(), order.id, self.buyer)

    def wallet(self) -> accounts.AccountView:
        """The buyer's money."""
        return accounts.show_account(self.app.uow(), self.buyer.account_id)

    def close(self) -> None:
        """Drop all connections."""
        self.app.close()
        self.node_database.close()


class Statements:
    """Counts the statements that an engine sends while it is entered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.count = 0

    def __enter__(self) -> "Statements":
        self.count = 0
        event.listen(self._engine, "before_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1


class NodeStatements:
    """Counts what a node sends to its database while it is entered."""

    def __init__(self, database: NodeDatabase) -> None:
        self._connections = database.connections
        self._rows = self._connections.rows
        self.count = 0

    def __enter__(self) -> "NodeStatements":
        self._connections.rows = self._counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.rows = self._rows  # type: ignore[method-assign]

    def _counted(self, statement: str, binds: Mapping[str, object]) -> list[Any]:
        self.count += 1
        return self._rows(statement, binds)
