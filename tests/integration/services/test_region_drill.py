"""A region loses its nodes: orders that may leave it go to the next one by price and distance, the others wait."""

from typing import Any

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.orders import OrderState
from backend.domain.work import AGENT_LOST_S
from backend.services import audit, receipts, regions, sweeper
from backend.storage.order_rows import Order
from tests.integration.services.clock import in_seconds
from tests.market import Executor, Market

ADMIN = Principal(None, None, Role.ADMIN)  # type: ignore[arg-type]  # the operator, who has no account
LIMIT = 5_000_000


def drill(market: Market) -> dict[str, Executor]:
    """Three fog zones; the cheap one is far away."""
    for region, ask in (("north", 1_000_000), ("near", 1_500_000), ("far", 1_100_000)):
        market.node(region, slots=10, pool=region, region=region, ask=ask)
    regions.put_link(market.app.uow(), utc_now(), ADMIN, "north", "near", 5)
    regions.put_link(market.app.uow(), utc_now(), ADMIN, "far", "north", 80)
    return {region: market.executor(region) for region in ("north", "near", "far")}


def place(market: Market, **changes: Any) -> Order:
    """An order from the north."""
    return market.place(region="north", limit_nano_per_slot_s=LIMIT, deadline_s=600, **changes)[0]


def lose(market: Market, executor: Executor) -> None:
    """A zone goes dark, and is noticed."""
    executor.database.agent_stop(executor.id)
    sweeper.sweep(market.app.uow(), in_seconds(AGENT_LOST_S + 0.1))


def nodes_of(market: Market, order: Order) -> list[str]:
    """Where an order's leases were."""
    return [s.node_name for s in receipts.receipt(market.app.uow(), order.id, market.buyer).served]


def test_running_work_of_a_dark_region_goes_on_in_the_next_one_by_price_or_distance(market: Market) -> None:
    executors = drill(market)
    cheap = place(market, failover=True, priority="cost")
    quick = place(market, failover=True, priority="latency")
    staying = place(market)
    market.clear()
    stale = executors["north"].claim(market.dispatched())
    assert len(stale) == 3
    lose(market, executors["north"])
    for region in ("near", "far"):
        executors[region].beat()
    for _ in range(3):
        market.clear()
    for region in ("near", "far"):
        executors[region].commit(executors[region].claim(market.dispatched()))
    assert executors["north"].commit(stale) == set()
    dispatched = [market.show(order).state for order in (cheap, quick, staying)]
    assert dispatched[2] is OrderState.OPEN
    assert nodes_of(market, cheap)[-1] == "far"
    assert nodes_of(market, quick)[-1] == "near"
    assert audit.audit_ledger(market.app.uow()).ok


def test_nothing_goes_farther_than_its_bound(market: Market) -> None:
    from backend.domain.machines import Needs

    executors = drill(market)
    order = place(market, failover=True, priority="cost", needs=Needs(latency_ms_max=20))
    assert "fog/far" not in order.markets
    lose(market, executors["north"])
    executors["near"].beat()
    for _ in range(3):
        market.clear()
    assert nodes_of(market, order) == ["near"]


def test_a_region_that_comes_back_serves_again(market: Market) -> None:
    executors = drill(market)
    lose(market, executors["north"])
    order = place(market)
    market.clear()
    assert market.show(order).state is OrderState.OPEN
    executors["north"] = market.executor("north")
    market.clear()
    assert nodes_of(market, order) == ["north"]
