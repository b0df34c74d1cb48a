"""Alerts: each threshold of a budget or wallet is told once a period, whoever crosses it, and listed to its account."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.budgets import BudgetMode
from backend.domain.errors import Invalid
from backend.services import alerts, deposits, orders
from tests.integration.services.budgeting import limited, place, placed_by_all, supplied
from tests.integration.services.spending import spend
from tests.market import Market


@pytest.fixture
def worst(market: Market) -> int:
    """What one order holds at its limit."""
    return supplied(market)


def test_a_soft_budget_tells_and_never_refuses(market: Market, worst: int) -> None:
    limited(market, market.buyer, worst, mode=BudgetMode.SOFT)
    assert placed_by_all(market, [market.buyer], 4) == 4
    told = alerts.list_alerts(market.app.uow(), market.buyer.account_id)
    assert {alert.percent for alert in told if alert.kind == "budget"} == {80, 90, 100}


def test_each_threshold_is_told_once_a_period_however_many_cross_it(market: Market, worst: int) -> None:
    budget = limited(market, market.buyer, 10 * worst)
    assert placed_by_all(market, [market.buyer], 16) == 10
    for order in orders.list_orders(market.app.uow(), market.buyer.account_id):
        orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert placed_by_all(market, [market.buyer], 16) == 10
    told = [a for a in alerts.list_alerts(market.app.uow(), market.buyer.account_id) if a.subject_id == budget.id]
    assert sorted(alert.percent for alert in told) == [80, 90, 100]
    next_month = utc_now() + timedelta(days=31)
    for _ in range(10):
        place(market, market.buyer, next_month)
    told = [a for a in alerts.list_alerts(market.app.uow(), market.buyer.account_id) if a.subject_id == budget.id]
    assert sorted(alert.percent for alert in told) == [80, 80, 90, 90, 100, 100]


def test_a_wallet_tells_when_what_came_in_last_is_used_up(market: Market, worst: int) -> None:
    spender = market.account("spender", 10 * worst)
    for _ in range(9):
        place(market, spender)
    told = alerts.list_alerts(market.app.uow(), spender.account_id)
    assert sorted(alert.percent for alert in told if alert.kind == "wallet") == [80, 90]
    deposits.deposit(market.app.uow(), utc_now(), spender.account_id, 9 * worst, "more")
    for _ in range(10):
        place(market, spender)
    told = alerts.list_alerts(market.app.uow(), spender.account_id)
    assert sorted(alert.percent for alert in told if alert.kind == "wallet") == [80, 80, 90, 90, 100]


def test_alerts_are_listed_newest_first_page_by_page_and_only_ones_own(market: Market) -> None:
    limited(market, market.buyer, 100)
    for nano in (80, 10, 10):
        spend(market, utc_now(), nano)
    found = alerts.list_alerts(market.app.uow(), market.buyer.account_id)
    assert [(alert.percent, alert.used_nano, alert.limit_nano) for alert in found] == [
        (100, 100, 100),
        (90, 90, 100),
        (80, 80, 100),
    ]
    first = alerts.list_alerts(market.app.uow(), market.buyer.account_id, 1)
    rest = alerts.list_alerts(market.app.uow(), market.buyer.account_id, 5, first[0].id)
    assert first + rest == found
    assert alerts.list_alerts(market.app.uow(), market.provider.account_id) == []
    for many in (0, alerts.ALERTS_MAX + 1):
        with pytest.raises(Invalid) as refused:
            alerts.list_alerts(market.app.uow(), None, many)
        assert (refused.value.code, refused.value.field) == ("invalid_limit", "limit")
