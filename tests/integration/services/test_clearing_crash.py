"""A clearing whose database goes away in the middle leaves nothing behind, and the next one does all of it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from backend.domain.errors import Unavailable
from backend.domain.orders import OrderState
from backend.services import allocation, audit
from tests.integration.services.killing import killed_before
from tests.market import Market, Statements

ORDERS = 3


def written(market: Market) -> tuple[int, ...]:
    """How much of clearings there is, and the slots that are taken."""
    with market.app.engine.connect() as connection:
        counts = "SELECT {}, (SELECT sum(busy_slots) FROM nodes)"
        tables = ("epochs", "trades", "leases", "units", "outbox")
        rows = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        return tuple(connection.execute(text(counts.format(rows))).one())


def clear(market: Market) -> int:
    market.stay_alive()
    return allocation.clear_markets(market.app.uow, datetime.now(UTC)).advanced


@pytest.mark.slow
def test_a_crash_at_every_statement_of_a_clearing_leaves_all_or_nothing(market: Market) -> None:
    market.node("a", slots=100)
    executor = market.executor()
    market.place(ORDERS)
    with Statements(market.app.engine) as statements:
        assert clear(market) == ORDERS
    boundaries = statements.count + 1  # and the commit
    assert boundaries > 10
    for number in range(1, boundaries + 1):
        before = written(market)
        placed = market.place(ORDERS)
        with killed_before(market.app.engine, market.app.database_url, number), pytest.raises(Unavailable):
            clear(market)
        assert written(market) == before, number
        assert {market.show(order).state for order in placed} == {OrderState.OPEN}, number
        assert clear(market) == ORDERS, number
        executor.commit(executor.claim(market.dispatched()))
        while market.settle():
            pass
        assert {market.show(order).state for order in placed} == {OrderState.SETTLED}, number
    assert audit.audit_ledger(market.app.uow()).ok
