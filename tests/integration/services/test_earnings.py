"""Statements of earnings: every movement between two balances, and the balances are the ledger's."""

from datetime import datetime
from itertools import pairwise

import pytest
from sqlalchemy import text

from backend.domain.errors import NotFound
from backend.domain.ids import AccountId, PayoutId
from backend.domain.ledger import AccountKind
from backend.domain.periods import month
from backend.services import earnings, payouts, withholding
from tests.integration.services.earning import ADMIN, has
from tests.integration.services.spending import NOVEMBER, OCTOBER, at, reverse, spend
from tests.integration.services.spree import Spree
from tests.market import Market, Statements

CENT = 10**7


def paid_out(market: Market, when: datetime, nano: int) -> PayoutId:
    uow, id = market.app.uow, payouts.request_payout(market.app.uow(), when, market.provider, nano, "DE02").id
    payouts.approve_payout(uow(), when, ADMIN, id)
    payouts.post_payout(uow(), when, ADMIN, id, f"bank-{nano}")
    return id


def test_a_statement_lists_what_was_earned_withheld_taken_back_and_paid_out(market: Market) -> None:
    spend(market, at(3, 9), 1_000 * CENT)
    [contested, _] = spend(market, at(3), 10_000 * CENT, fee_ppm=100_000)
    with market.app.uow() as uow:
        withholding.sla_credit(uow, at(5), market.buyer.account_id, market.provider.account_id, 300 * CENT, "sla-1")
        uow.commit()
    reverse(market, at(6), contested)
    paid_out(market, at(7), 200 * CENT)
    found = earnings.statement(market.app.uow(), market.provider, market.provider.account_id, OCTOBER)
    assert (found.opening_nano, found.opening_withheld_nano) == (1_000 * CENT, 0)
    assert [(line.kind, line.reverses, line.count, line.earnings_nano, line.withheld_nano) for line in found.lines] == [
        ("charge", None, 1, 9_000 * CENT, 0),
        ("payout", None, 1, -200 * CENT, 0),
        ("reversal", "charge", 1, -9_000 * CENT, 0),
        ("sla_credit", None, 1, 0, -300 * CENT),
        ("withhold", None, 1, -300 * CENT, 300 * CENT),
    ]
    assert (found.closing_nano, found.closing_withheld_nano) == (500 * CENT, 0)
    assert has(market, market.provider, AccountKind.EARNINGS) == 500 * CENT


def test_statements_of_months_in_a_row_join_and_end_at_the_ledgers_balance(market: Market) -> None:
    spree = Spree(market, 3, at(20, 9), at(20, 11))
    spree.orders(8)
    spree.sessions(2)
    spree.pooled(2)
    spree.usage(10)
    spree.corrections(12)
    zone = "Asia/Kolkata"
    months = [month(f"2031-{number:02d}", zone) for number in (9, 10, 11, 12)]
    provider = market.provider.account_id
    found = [earnings.statement(market.app.uow(), ADMIN, provider, period) for period in months]
    for before, after in pairwise(found):
        assert (before.closing_nano, before.closing_withheld_nano) == (after.opening_nano, after.opening_withheld_nano)
    assert found[0].opening_nano == 0
    with market.app.engine.connect() as connection:
        balances = connection.execute(
            text("SELECT kind, posted_nano FROM ledger_accounts WHERE owner_id = :id ORDER BY kind"), {"id": provider}
        ).all()
    assert [tuple(row) for row in balances[:2]] == [("earnings", found[-1].closing_nano), ("wallet", 0)]
    kinds = {(line.kind, line.workload) for statement in found for line in statement.lines}
    assert kinds >= {("charge", "batch"), ("charge", "session"), ("charge", None)}


def test_only_the_account_itself_and_admins_see_its_earnings(market: Market) -> None:
    with pytest.raises(NotFound):
        earnings.statement(market.app.uow(), market.buyer, market.provider.account_id, OCTOBER)
    with pytest.raises(NotFound):
        earnings.statement(market.app.uow(), ADMIN, AccountId(ADMIN.account_id), OCTOBER)


def test_a_statement_takes_the_same_number_of_statements_for_any_number_of_transfers(market: Market) -> None:
    counts = []
    for month_of, size in ((10, 2), (11, 40)):
        for day in range(size):
            spend(market, at(1 + day % 28, month_of), 1_000)
        with Statements(market.app.engine) as statements:
            period = {10: OCTOBER, 11: NOVEMBER}[month_of]
            earnings.statement(market.app.uow(), ADMIN, market.provider.account_id, period)
        counts.append(statements.count)
    assert counts[0] == counts[1]
