"""What a sweep looks at grows with the orders that run, never with their square, whatever the planner believes."""

import pytest

from backend.bootstrap import utc_now
from backend.services import sweeper
from tests.market import Market
from tests.performance.order_path import OrderPath
from tests.performance.plans import rows_looked_at, sent_to

BATCH = 1_000
ROWS_PER_ORDER_MAX = 20


@pytest.mark.slow
def test_with_1_000_running_orders_a_sweep_looks_at_each_a_few_times(market: Market) -> None:
    path = OrderPath(market)
    path.place(BATCH)
    alive_at = utc_now()
    path.beat()
    path.clear()
    # No statistics: a market that has just begun has none, and its planner guesses.
    with sent_to(market.app.engine) as sent:
        assert sweeper.sweep(market.app.uow(), alive_at).moved_orders == 0
    with market.app.engine.connect() as connection:
        looked_at = {one.statement: rows_looked_at(connection, one) for one in sent if "SELECT" in one.statement}
    assert len(looked_at) >= 4
    most = max(looked_at, key=looked_at.__getitem__)
    assert looked_at[most] <= ROWS_PER_ORDER_MAX * BATCH, f"{looked_at[most]} rows in\n{most}"
