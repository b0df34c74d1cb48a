"""A settlement batch whose connection dies at any statement leaves all or nothing, and a rerun completes it."""

from typing import Any

import pytest

from backend.domain.errors import Unavailable
from backend.domain.orders import OrderState
from backend.services import audit
from tests.integration.services.killing import killed_before
from tests.market import Market, Statements

ORDERS = 3


def ready_to_settle(market: Market) -> list[Any]:
    """Orders that ran and are not charged yet."""
    executor = market.executor()
    placed = market.place(ORDERS)
    market.clear()
    executor.commit(executor.claim(market.dispatched()))
    return placed


@pytest.mark.slow
def test_a_crash_at_every_statement_of_a_settlement_leaves_all_or_nothing(market: Market) -> None:
    market.node("a", slots=ORDERS, ask=10**9)
    ready_to_settle(market)
    with Statements(market.app.engine) as statements:
        market.settle()
    boundaries = statements.count + 1  # and the commit
    assert boundaries > 10
    charged = market.wallet().wallet_nano
    for number in range(1, boundaries + 1):
        placed = ready_to_settle(market)
        before = market.wallet()
        with killed_before(market.app.engine, market.app.database_url, number), pytest.raises(Unavailable):
            market.settle()
        assert market.wallet() == before, number
        assert {market.show(order).state for order in placed} == {OrderState.RUNNING}, number
        assert audit.audit_ledger(market.app.uow()).ok, number
        assert market.settle() == ORDERS
        assert {market.show(order).state for order in placed} == {OrderState.SETTLED}, number
        after = market.wallet()
        assert before.wallet_nano - after.wallet_nano == 1_000 * 10**9 - charged, number
        assert audit.audit_ledger(market.app.uow()).ok, number
        assert market.settle() == 0
