"""Statistics taken in a quiet minute never have PostgreSQL compare each order with each when many come."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from backend.bootstrap import utc_now
from backend.services import allocation, holds, sla, sweeper
from tests.market import Market
from tests.performance.order_path import OrderPath
from tests.performance.plans import rows_looked_at, sent_to
from tests.performance.test_query_plans import (
    every_step_of_a_few_orders,
    every_step_of_a_session,
    everything_by_the_clock,
)
from tests.performance.test_swarm_plans import every_look_at_the_swarm

BATCH = 400  # of each kind of order; what was left behind before them has some of the 1,000 slots
ROWS_PER_ORDER_MAX = 100  # each with each would be 800; all that there ever were, where that is the cheapest, are 26
STATEMENTS_MIN = 80


@pytest.mark.slow
def test_after_a_quiet_minute_800_orders_are_looked_at_a_few_times_each_wherever_they_are(
    market: Market, path: OrderPath
) -> None:
    keep_statistics(market.app.engine)
    with sent_to(market.app.engine) as sent:
        for _ in stages(market, path):
            sweeper.sweep(market.app.uow(), utc_now())
            sla.observe(market.app.uow(), utc_now())
        every_step_of_a_few_orders(market, path)
        every_step_of_a_session(market)
        everything_by_the_clock(market)
        path.beat()
        every_step_of_a_few_orders(market, path)
        every_look_at_the_swarm(market, path)
    assert len(sent) >= STATEMENTS_MIN
    before = path.settled()
    looked_at: dict[tuple[str, str], int] = {}
    for stage in stages(market, path):
        with market.app.engine.connect() as connection:
            for one in sent:
                try:
                    looked_at[stage, one.statement] = rows_looked_at(connection, one)
                except IntegrityError:  # what it wrote once it cannot write again
                    connection.rollback()
    assert path.settled() >= before + 2 * BATCH
    most = max(looked_at, key=looked_at.__getitem__)
    assert looked_at[most] <= ROWS_PER_ORDER_MAX * 2 * BATCH, (
        f"{looked_at[most]} rows of {most[0]} orders in\n{most[1]}"
    )


def keep_statistics(engine: Engine) -> None:
    """Those of this moment, at which nothing is under way, until the test ends."""
    with engine.begin() as connection:
        for table in inspect(connection).get_table_names():
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        connection.execute(text("ANALYZE"))


def stages(market: Market, path: OrderPath) -> Iterator[str]:
    """Where as many orders are at once, one after the other; half of them may be interrupted."""
    path.beat()
    path.place(BATCH)
    market.place(BATCH, tier="small", interruptible=True)
    yield "open"
    path.beat()
    epoch = allocation.clear_markets(market.app.uow, utc_now())
    holds.lower(market.app.uow(), utc_now(), epoch.leased)
    yield "leased"
    path.beat()
    claimed = [path.claim(dispatch) for dispatch in path.relay()]
    yield "running"
    path.beat()
    for items in claimed:
        path.commit(items)
    yield "committed"
    path.settle()
    yield "settled"
