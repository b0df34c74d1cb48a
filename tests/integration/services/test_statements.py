"""The hot path costs the same number of statements for any number of orders."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.orders import WorkloadRequest
from backend.services import allocation, holds, orders, settlement
from tests.market import Market, NodeStatements, Statements

SIZES = (10, 100, 1_000)
LIMITS = {"place": 12, "clear": 18, "lower": 7, "claim": 1, "commit": 1, "settle": 15}


@pytest.mark.slow
def test_each_step_of_an_order_takes_as_many_statements_for_ten_orders_as_for_a_thousand(
    market: Market,
) -> None:
    market.node("a", slots=1_000)
    seen: dict[int, dict[str, int]] = {}
    for size in SIZES:
        seen[size] = dict.fromkeys(LIMITS, 0)
        executor = market.executor()
        requests: list[WorkloadRequest] = [market.request()] * size
        with Statements(market.app.engine) as statements:
            orders.place_orders(market.app.uow(), utc_now(), market.buyer, requests)
        seen[size]["place"] = statements.count
        executor.beat()
        with Statements(market.app.engine) as statements:
            epoch = allocation.clear_markets(market.app.uow, utc_now())
        assert epoch.advanced == size
        seen[size]["clear"] = statements.count
        with Statements(market.app.engine) as statements:
            assert holds.lower(market.app.uow(), utc_now(), epoch.leased) == size
        seen[size]["lower"] = statements.count
        # A unit holds at most 500 items, so a thousand orders make two messages: counted by unit.
        for dispatch in market.dispatched():
            with NodeStatements(market.node_database) as sent:
                items = executor.claim([dispatch])
            seen[size]["claim"] = sent.count
            with NodeStatements(market.node_database) as sent:
                assert len(executor.commit(items)) == len(items)
            seen[size]["commit"] = sent.count
        with Statements(market.app.engine) as statements:
            while settlement.settle_finished(market.app.uow(), utc_now()) == settlement.SETTLE_ORDERS_MAX:
                seen[size]["settle"] = statements.count
                statements.count = 0
        seen[size]["settle"] = max(seen[size]["settle"], statements.count)
    assert seen[10] == seen[100] == seen[1_000]
    assert all(seen[10][step] <= limit for step, limit in LIMITS.items()), seen[10]
