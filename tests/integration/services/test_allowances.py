"""Allowances: held in blocks as far as wallet and budgets allow, used without asking, and given back."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.allowances import BLOCK_REQUESTS, Purse, Report, Verdict
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, Invalid
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState
from backend.services import allowances, orders
from backend.services.receipts import receipt
from tests.integration.services.budgeting import limited
from tests.integration.services.budgeting import used as budget_used
from tests.integration.services.earning import has
from tests.integration.services.pooling import (
    BUSY_US,
    COST_NANO,
    MOST_NANO,
    Gateway,
    allow,
    gateway_id,
    pooled,
    spend,
    tell,
    used,
)
from tests.market import Market, Statements

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_a_block_is_held_charged_as_it_is_used_and_the_rest_given_back(market: Market) -> None:
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    assert granted.held_nano == market.wallet().reserved_nano == BLOCK_REQUESTS * MOST_NANO
    first = Report(granted.order_id, 1, (used(lease, 10),))
    assert tell(market, gateway, first) == {granted.order_id: Verdict.TAKEN}
    assert tell(market, gateway, first) == {granted.order_id: Verdict.KNOWN}
    assert market.wallet().reserved_nano == granted.held_nano - 10 * COST_NANO
    last = Report(granted.order_id, 2, (used(lease, 5),), last=True)
    assert tell(market, gateway, last) == {granted.order_id: Verdict.TAKEN}
    assert tell(market, gateway, last) == {granted.order_id: Verdict.KNOWN}
    order = orders.show_order(market.app.uow(), granted.order_id, market.buyer)
    assert (order.state, order.charged_nano) == (OrderState.SETTLED, 15 * COST_NANO)
    assert market.wallet().reserved_nano == 0
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT - 15 * COST_NANO
    fees = -(-10 * COST_NANO // 20) - (-5 * COST_NANO // 20)  # 5 %, rounded up report by report
    assert has(market, market.provider, AccountKind.EARNINGS) == 15 * COST_NANO - fees


def test_a_receipt_tells_requests_time_and_charge_lease_by_lease(market: Market) -> None:
    gateway = gateway_id()
    lease = pooled(market, gateway)
    order_id = spend(market, gateway, lease, 7)
    told = receipt(market.app.uow(), order_id, market.buyer)
    [line] = told.served
    assert (line.lease_id, line.node_name, line.items) == (lease.lease_id, "a", 7)
    assert (line.billed_us, line.charged_nano) == (7 * BUSY_US, 7 * COST_NANO)
    assert (told.charged_nano, told.model) == (7 * COST_NANO, "doubling")
    assert told.held_nano == told.charged_nano + told.released_nano


def test_the_next_block_raises_the_hold_and_what_the_order_may_cost(market: Market) -> None:
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    more = allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, 2 * MOST_NANO)
    assert more.held_nano == 2 * granted.held_nano
    assert market.wallet().reserved_nano == 3 * granted.held_nano
    requests = 2 * granted.held_nano // COST_NANO
    assert tell(market, gateway, Report(granted.order_id, 1, (used(lease, requests),), last=True)) == {
        granted.order_id: Verdict.TAKEN
    }
    assert market.wallet().reserved_nano == 0


def test_an_allowance_is_raised_by_its_own_gateway_only_and_not_after_its_end(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    granted = allow(market, gateway)
    for who, ends in ((gateway_id(), False), (gateway, True)):
        if ends:
            tell(market, gateway, Report(granted.order_id, 1, (), last=True))
        with pytest.raises(Conflict) as refused:
            allowances.raise_allowance(market.app.uow(), utc_now(), who, granted.order_id, MOST_NANO)
        assert refused.value.code == "allowance_ended"


def test_one_that_is_used_up_to_the_last_nano_is_not_raised_but_opened_anew(market: Market) -> None:
    gateway = gateway_id()
    lease = pooled(market, gateway)
    poor = market.account("poor", COST_NANO)
    granted = allow(market, gateway, poor, nano=COST_NANO)
    tell(market, gateway, Report(granted.order_id, 1, (used(lease),)))
    with pytest.raises(Conflict) as refused:
        allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, MOST_NANO)
    assert refused.value.code == "allowance_ended"
    assert tell(market, gateway, Report(granted.order_id, 2, (), last=True)) == {granted.order_id: Verdict.TAKEN}


def test_a_block_is_as_large_as_wallet_and_budget_allow_and_of_whole_requests(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    poor = market.account("poor", 7 * MOST_NANO + 3)
    granted = allow(market, gateway, poor)
    assert granted.held_nano == 7 * MOST_NANO
    with pytest.raises(InsufficientFunds):
        allow(market, gateway, poor)
    with pytest.raises(InsufficientFunds):
        allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, MOST_NANO)
    frugal = market.account("frugal", NANO_PER_CREDIT)
    limited(market, frugal, 4 * MOST_NANO + 1)
    assert allow(market, gateway, frugal).held_nano == 4 * MOST_NANO
    with pytest.raises(BudgetExceeded):
        allow(market, gateway, frugal)
    assert budget_used(market, frugal.account_id)["month"] == 4 * MOST_NANO


def test_a_block_counts_for_budgets_while_it_is_held_and_then_what_was_used_of_it(market: Market) -> None:
    gateway = gateway_id()
    lease = pooled(market, gateway)
    limited(market, market.buyer, NANO_PER_CREDIT)
    granted = allow(market, gateway)
    assert budget_used(market, market.buyer.account_id)["month"] == granted.held_nano
    allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, MOST_NANO)
    assert budget_used(market, market.buyer.account_id)["month"] == 2 * granted.held_nano
    tell(market, gateway, Report(granted.order_id, 1, (used(lease, 3),), last=True))
    assert budget_used(market, market.buyer.account_id)["month"] == 3 * COST_NANO


def test_a_budget_per_request_limits_each_request_not_the_block(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    limited(market, market.buyer, MOST_NANO, "request")
    granted = allow(market, gateway)
    assert (granted.held_nano, granted.request_max_nano) == (BLOCK_REQUESTS * MOST_NANO, MOST_NANO)
    with pytest.raises(BudgetExceeded):
        allow(market, gateway, nano=MOST_NANO + 1)


def test_a_request_above_the_cap_of_the_tier_is_refused(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    with pytest.raises(Invalid) as refused:
        allow(market, gateway, nano=5 * NANO_PER_CREDIT + 1)
    assert refused.value.code == "above_tier_cap"
    whole = allow(market, gateway, nano=3 * NANO_PER_CREDIT)
    assert whole.held_nano == 5 * NANO_PER_CREDIT


def test_thresholds_of_a_budget_are_told_when_a_block_goes_over_them_the_first_or_a_later_one(market: Market) -> None:
    from backend.services.alerts import list_alerts

    gateway = gateway_id()
    pooled(market, gateway)
    limited(market, market.buyer, 2 * BLOCK_REQUESTS * MOST_NANO)
    granted = allow(market, gateway)
    assert list_alerts(market.app.uow(), market.buyer.account_id) == []
    allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, MOST_NANO)
    told = list_alerts(market.app.uow(), market.buyer.account_id)
    assert sorted(alert.percent for alert in told) == [80, 90, 100]


def test_a_thousand_requests_take_two_blocks_and_their_reports(market: Market) -> None:
    """Nothing is asked of the database between: 1,000 requests that cost three tenths of their worst case."""
    gateway = gateway_id()
    lease = pooled(market, gateway)
    with Statements(market.app.engine) as statements:
        granted = allow(market, gateway)
    opening = statements.count
    side = Gateway(market, lease, gateway, Purse(granted.order_id, granted.held_nano))
    ran, raised = 0, 0
    with Statements(market.app.engine) as statements:
        for _ in range(4):  # a report a second, of 250 requests
            ran += side.run(250)
            assert side.tell() is Verdict.TAKEN
            if side.purse.is_low:
                more = allowances.raise_allowance(market.app.uow(), utc_now(), gateway, granted.order_id, MOST_NANO)
                side.purse.raised(more.held_nano)
                raised += 1
    assert (ran, raised) == (1_000, 1)
    assert opening <= 16, opening
    assert statements.count <= 4 * 17 + 16, statements.count
