"""What the manager and balancing ask every second or two never reads a table that only grows from end to end."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.balancing import MOVES_MAX
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.scaling import ScalingPolicy
from backend.services import balancing, fleet, managers, scaling
from tests.market import Market
from tests.performance.conftest import BATCH
from tests.performance.order_path import OrderPath
from tests.performance.plans import sent_to, whole_tables_read
from tests.performance.test_query_plans import GROWING, described

POOLS = ("pool.pool", "pool.other")


@pytest.mark.slow
def test_with_20_000_orders_watching_scaling_and_balancing_read_no_whole_table(market: Market, path: OrderPath) -> None:
    path.beat()
    path.place(BATCH)
    path.clear()
    for dispatch in path.relay():
        path.claim(dispatch)
    path.place(BATCH)
    path.clear()
    with sent_to(market.app.engine) as sent:
        every_look_at_the_swarm(market, path)
        managers.agent_gone(market.app.uow(), utc_now(), "test", utc_now())
    assert len(sent) >= 15
    with market.app.engine.connect() as connection:
        reading = [(one, read) for one in sent if (read := whole_tables_read(connection, one) & GROWING)]
    assert not reading, "\n".join(described(one, tables) for one, tables in reading)


def every_look_at_the_swarm(market: Market, path: OrderPath) -> None:
    """What the manager watches, scales and balances by."""
    uow, now = market.app.uow, utc_now()
    fleet.add_entry(
        uow(), now, None, FleetSpec("nodes", AgentKind.INFERENCE, ("--pool", "pool"), policy=ScalingPolicy())
    )
    generation = managers.take_over(uow(), now, path.executor_id)
    assert managers.look(uow(), utc_now(), generation).sights
    managers.manager_of(uow())
    assert scaling.rescale(uow(), utc_now(), scaling.Memory())
    balancing.balance(uow(), utc_now())
    with uow() as unit:
        unit.balance.slowness(utc_now() - balancing.MEASURED, balancing.MEASURED_ITEMS_MAX)
        found = unit.balance.orders_on(POOLS, POOLS, balancing.ORDERS_MAX)
        unit.balance.lock_queued(found, POOLS, MOVES_MAX)
        unit.balance.berths(found, POOLS)
        unit.balance.stuck(POOLS, balancing.ORDERS_MAX)
        unit.balance.unused(POOLS)
