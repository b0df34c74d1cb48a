"""What gateways report of allowances is charged once and never above what is held, whoever reports it when."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.allowances import Purse, Report, Used, Verdict
from backend.domain.errors import Invalid, SwarmexError
from backend.domain.ids import OrderId
from backend.domain.money import NANO_PER_CREDIT
from backend.services import allowance_reports, allowances, audit, orders
from tests.integration.services.budgeting import limited
from tests.integration.services.budgeting import used as budget_used
from tests.integration.services.pooling import (
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


def test_nobody_can_report_another_gateways_allowance_nor_more_than_is_held(market: Market) -> None:
    gateway, other = gateway_id(), gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    too_much = granted.held_nano // COST_NANO + 1
    assert tell(market, other, Report(granted.order_id, 1, (used(lease),))) == {granted.order_id: Verdict.ENDED}
    assert tell(market, gateway, Report(granted.order_id, 1, (used(lease, too_much),))) == {
        granted.order_id: Verdict.ENDED
    }
    nowhere = Report(granted.order_id, 1, (Used(gateway, 1, 1, 1, 1),))  # type: ignore[arg-type]  # no lease's id
    assert tell(market, gateway, nowhere) == {granted.order_id: Verdict.ENDED}
    assert orders.show_order(market.app.uow(), granted.order_id, market.buyer).charged_nano == 0


def test_a_report_of_too_many_allowances_is_refused(market: Market) -> None:
    one = Report(OrderId(gateway_id()), 1, ())
    with pytest.raises(Invalid):
        tell(market, gateway_id(), *[one] * (allowance_reports.REPORTS_MAX + 1))


def test_gateways_of_one_spender_with_a_budget_nearly_used_up_never_go_over_it(market: Market) -> None:
    """Four gateways open, draw, raise and report at once: what is held and charged stays under budget and wallet."""
    budget = 23 * MOST_NANO
    limited(market, market.buyer, budget)
    gateways = [gateway_id() for _ in range(4)]
    lease = pooled(market, gateways[0])
    barrier = threading.Barrier(len(gateways))

    def serve(number: int) -> int:
        barrier.wait()
        ran = 0
        for _ in range(6):
            try:
                granted = allow(market, gateways[number])
            except SwarmexError:
                continue
            side = Gateway(market, lease, gateways[number], Purse(granted.order_id, granted.held_nano))
            ran += side.run(3)
            assert side.tell() is Verdict.TAKEN
            try:
                more = allowances.raise_allowance(
                    market.app.uow(), utc_now(), gateways[number], granted.order_id, MOST_NANO
                )
                side.purse.raised(more.held_nano)
            except SwarmexError:
                pass
            ran += side.run(2)
            assert side.tell(last=True) is Verdict.TAKEN
            assert budget_used(market, market.buyer.account_id)["month"] <= budget
        return ran

    with ThreadPoolExecutor(len(gateways)) as threads:
        ran = sum(threads.map(serve, range(len(gateways))))
    assert ran > 0
    spent = 1_000 * NANO_PER_CREDIT - market.wallet().wallet_nano
    assert spent == ran * COST_NANO <= budget
    assert budget_used(market, market.buyer.account_id)["month"] == spent
    assert market.wallet().reserved_nano == 0


def test_a_report_that_many_send_at_once_is_charged_once(market: Market) -> None:
    """As when its gateway was answered too late, and sent it again while the first was still under way."""
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    one = Report(granted.order_id, 1, (used(lease, 4),))
    with ThreadPoolExecutor(8) as threads:
        verdicts = [v for told in threads.map(lambda _: tell(market, gateway, one), range(16)) for v in told.values()]
    assert verdicts.count(Verdict.TAKEN) == 1
    assert set(verdicts) <= {Verdict.TAKEN, Verdict.KNOWN, Verdict.LATER}
    assert orders.show_order(market.app.uow(), granted.order_id, market.buyer).charged_nano == 4 * COST_NANO


def test_a_report_costs_as_many_statements_for_one_user_as_for_many(market: Market) -> None:
    gateway = gateway_id()
    lease = pooled(market, gateway)
    seen = {}
    for users in (1, 10, 60):
        reports = [
            Report(
                allow(market, gateway, market.account(f"user-{users}-{number}", NANO_PER_CREDIT)).order_id,
                1,
                (used(lease, 9),),
            )
            for number in range(users)
        ]
        with Statements(market.app.engine) as statements:
            assert set(tell(market, gateway, *reports).values()) == {Verdict.TAKEN}
        seen[users] = statements.count
    assert seen[1] == seen[10] == seen[60]
    assert seen[1] <= 17, seen


def test_the_audit_finds_use_of_an_allowance_that_was_not_charged_so(market: Market) -> None:
    gateway = gateway_id()
    order_id = spend(market, gateway, pooled(market, gateway), 3)
    for change in ("+ 1", "- 1"):
        with market.app.engine.begin() as connection:
            connection.execute(text(f"UPDATE pooled_uses SET charged_nano = charged_nano {change}"))
        found = audit.audit_ledger(market.app.uow()).differences
        expected = [("requests charged", order_id, 3 * COST_NANO + 1)] if change == "+ 1" else []
        assert [(d.what, d.id, d.recorded_nano) for d in found] == expected
        assert audit.audit_ledger(market.app.uow(), account=market.buyer.account_id).differences == found
