"""What the manager and balancing ask every second or two never reads a table that only grows from end to end."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.balancing import MOVES_MAX
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.scaling import ScalingPolicy
from backend.services import balancing, fleet, managers, scaling
from tests.market import Market
from tests.performance.order_path import OrderPath
from tests.performance.plans import sent_to, whole_tables_read
from tests.performance.test_query_plans import BATCH, GROWING, described, path

__all__ = ["path"]  # the fixture
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
    entry = FleetSpec("nodes", AgentKind.INFERENCE, ("--pool", "pool"), policy=ScalingPolicy())
    fleet.add_entry(market.app.uow(), utc_now(), None, entry)
    generation = managers.take_over(market.app.uow(), utc_now(), path.executor_id)
    with sent_to(market.app.engine) as sent:
        assert managers.look(market.app.uow(), utc_now(), generation).sights
        managers.manager_of(market.app.uow())
        assert scaling.rescale(market.app.uow(), utc_now(), scaling.Memory())
        balancing.balance(market.app.uow(), utc_now())
        with market.app.uow() as uow:
            uow.balance.slowness(utc_now() - balancing.MEASURED, balancing.MEASURED_ITEMS_MAX)
            found = uow.balance.orders_on(POOLS, POOLS, balancing.ORDERS_MAX)
            uow.balance.lock_queued(found, POOLS, MOVES_MAX)
            uow.balance.berths(found, POOLS)
            uow.balance.stuck(POOLS, balancing.ORDERS_MAX)
            uow.balance.unused(POOLS)
        managers.agent_gone(market.app.uow(), utc_now(), "test", utc_now())
    assert len(sent) >= 15
    with market.app.engine.connect() as connection:
        reading = [(one, read) for one in sent if (read := whole_tables_read(connection, one) & GROWING)]
    assert not reading, "\n".join(described(one, tables) for one, tables in reading)
