"""Participants of a training round as the market sees them: orders of one pinned task each, judged when they ran."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backend.bootstrap import new_id, utc_now
from backend.domain.federated.tasks import LocalResult, LocalTask, WeightsRef
from backend.domain.ids import ItemId, NodeId, OrderId, TrainingJobId
from backend.domain.machines import Needs
from backend.domain.money import US_PER_S
from backend.domain.orders import WorkloadRequest
from backend.domain.work import ClaimedItem, ItemResult
from backend.services import judging, placement, trainers
from backend.services.trainers import TrainerFacts
from backend.storage.nodes import Node
from backend.storage.order_rows import Order
from tests.market import Executor, Market

DIGITS = TrainerFacts("digits", "Tells digits apart.", ("loss", "accuracy"))
FIT_S = 10
UPDATE = LocalResult(100, "ab" * 32, 1_000).wire()


def announce(market: Market, *facts: TrainerFacts) -> int:
    """Make trainers known: `digits`, if none is given."""
    return trainers.announce(market.app.uow(), utc_now(), facts or [DIGITS])


def task(job_id: TrainingJobId, seed: int = 0) -> bytes:
    """What a participant is asked."""
    weights = WeightsRef("training/weights", "cd" * 32, 1_000)
    return LocalTask(job_id, 1, "digits", weights, 1, 32, FIT_S, seed, 0, 1).wire()


def wish(node: NodeId, job_id: TrainingJobId, **changes: object) -> WorkloadRequest:
    """The order that a participant is, or as changed."""
    values: dict[str, object] = {
        "workload": "training",
        "model": "trainer.digits",
        "tier": "medium",
        "requests": (),
        "needs": Needs(only=(node,)),
        "local_task": task(job_id),
        "fit_us_max": FIT_S * US_PER_S,
        "fit_us_expected": FIT_S * US_PER_S // 2,
    }
    return WorkloadRequest(**(values | changes))  # type: ignore[arg-type]  # a test's own words


@dataclass
class Lab:
    """A market with nodes, each asked for an update by one order."""

    market: Market
    nodes: list[Node]
    executor: Executor
    job_id: TrainingJobId = field(default_factory=lambda: TrainingJobId(new_id()))

    @classmethod
    def of(cls, market: Market, count: int) -> "Lab":
        """So many nodes of one pool, alive."""
        announce(market)
        return cls(market, [market.node(f"n{number}") for number in range(count)], market.executor())

    def place(self, **changes: object) -> list[Order]:
        """An order for each node."""
        requests = [wish(node.id, self.job_id, **changes) for node in self.nodes]
        with self.market.app.uow() as uow:
            now = utc_now()
            known = placement.catalogue(uow, now, requests)
            placed = placement.place(
                uow, now, self.market.buyer.spender, [placement.plan(request, known) for request in requests]
            )
            uow.commit()
        assert all(isinstance(order, Order) for order in placed), placed
        return [order for order in placed if isinstance(order, Order)]

    def claim(self) -> list[ClaimedItem]:
        """Let the nodes begin, in the order of `nodes`."""
        self.market.clear()
        items = {item.node_id: item for item in self.executor.claim(self.market.dispatched())}
        return [items[node.id] for node in self.nodes if node.id in items]

    def report(self, items: Sequence[ClaimedItem], busy_us: int = 5) -> set[object]:
        """Let these items' updates come; returns those that counted."""
        results = [ItemResult(item.item_id, item.fence, busy_us, UPDATE) for item in items]
        return set(self.executor.database.commit(self.executor.id, results))

    def judge(
        self,
        orders: Collection[OrderId],
        accepted: Collection[ItemId] = (),
        rejected: Mapping[ItemId, str] | None = None,
        now: datetime | None = None,
    ) -> None:
        """Decide on what was reported, and end these orders."""
        with self.market.app.uow() as uow:
            judging.judge(uow, now or utc_now(), orders, accepted, rejected)
            uow.commit()
