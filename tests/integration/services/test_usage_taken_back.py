"""Usage that was reported by mistake, or whose charge was reversed, is void: given back once, never rated again."""

from dataclasses import replace
from functools import partial

import pytest

from backend.bootstrap import utc_now
from backend.domain.corrections import FundShort, PayeeShort
from backend.domain.metering import UsageState
from backend.services import audit, corrections, deposits, log, rating
from backend.services.rating import Rerated
from backend.services.usage_charges import collect_unpaid
from tests.integration.services.earning import fill_fund
from tests.integration.services.usage import (
    FUNDS,
    NOTHING,
    OPERATOR,
    PRICE,
    add_meter,
    earned,
    event,
    pay_out,
    price,
    send,
    transfers,
    usage,
)
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


@pytest.mark.parametrize("funds", [0, 5 * PRICE], ids=["unpaid", "charged"])
def test_usage_reported_by_mistake_is_taken_back_once(market: Market, funds: int) -> None:
    add_meter(market, pays=market.provider)
    poor = market.account("poor", funds)
    [outcome] = send(market, event(subject="poor"))
    assert outcome.usage
    for _ in range(2):
        void = rating.take_back(market.app.uow(), utc_now(), OPERATOR, outcome.usage.id, "wrong meter")
        assert void.state is UsageState.VOID
    assert earned(market, market.provider) == 0
    assert len(log.list_entries(market.app.uow(), action="usage.void")) == 1
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, 5 * PRICE, "more")
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 0
    assert price(market, 3 * PRICE) == NOTHING
    [repeated] = send(market, event(subject="poor"))
    assert (repeated.receipt, repeated.usage) == ("duplicate", void)


def test_what_the_provider_was_paid_out_already_is_not_taken_back(market: Market) -> None:
    add_meter(market, pays=market.provider)
    [outcome] = send(market, event())
    pay_out(market, PRICE)
    assert outcome.usage
    with pytest.raises(PayeeShort):
        rating.take_back(market.app.uow(), utc_now(), OPERATOR, outcome.usage.id, "wrong meter")
    assert usage(market) == [outcome.usage]


def test_what_the_provider_was_paid_out_already_is_given_back_by_the_credits_fund_if_asked_for(market: Market) -> None:
    add_meter(market, pays=market.provider)
    [outcome] = send(market, event())
    pay_out(market, PRICE)
    assert outcome.usage
    take_back = partial(rating.take_back, market.app.uow(), utc_now(), OPERATOR, outcome.usage.id, "wrong meter")
    with pytest.raises(FundShort):
        take_back(from_fund=True)
    fill_fund(market, 2 * PRICE)
    for _ in range(2):
        assert take_back(from_fund=True).state is UsageState.VOID
    assert transfers(market)[-1] == ("refund", 2 * PRICE)
    assert market.wallet().wallet_nano == FUNDS
    assert earned(market, market.provider) == 2 * PRICE


@pytest.mark.parametrize("corrected", [False, True], ids=["first charge", "charge of a later price"])
def test_usage_whose_charge_an_admin_reversed_is_void_and_not_charged_anew(market: Market, corrected: bool) -> None:
    add_meter(market, pays=market.provider)
    send(market, event(1), event(2))
    if corrected:
        price(market, 2 * PRICE)
    one, other = usage(market)
    assert one.transfer_id
    corrections.reverse(market.app.uow(), utc_now(), OPERATOR, one.transfer_id, "a mistake")
    void = replace(one, state=UsageState.VOID)
    assert usage(market) == [void, other]
    assert price(market, 3 * PRICE) == price(market, 0) == Rerated(1, 0, ())
    assert rating.take_back(market.app.uow(), utc_now(), OPERATOR, one.id, "a mistake") == void
    [repeated] = send(market, event(1))
    assert (repeated.receipt, repeated.usage) == ("duplicate", void)
    assert market.wallet().wallet_nano == FUNDS


def test_usage_that_the_credits_fund_paid_back_is_void_and_not_paid_back_again(market: Market) -> None:
    add_meter(market, pays=market.provider)
    [outcome] = send(market, event())
    pay_out(market, 2 * PRICE)
    fill_fund(market, 2 * PRICE)
    assert outcome.usage
    assert outcome.usage.transfer_id
    corrections.reverse(market.app.uow(), utc_now(), OPERATOR, outcome.usage.transfer_id, "a mistake", from_fund=True)
    assert [u.state for u in usage(market)] == [UsageState.VOID]
    send(market, event(2, "5"))  # now the provider has what it would take
    rating.take_back(market.app.uow(), utc_now(), OPERATOR, outcome.usage.id, "a mistake")
    assert price(market, PRICE // 2).corrected == 1
    assert market.wallet().wallet_nano == FUNDS - 5 * PRICE // 2


def test_a_transfer_that_has_nothing_to_do_with_usage_takes_none_back(market: Market) -> None:
    add_meter(market)
    send(market, event())
    before = usage(market)
    paid = deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, PRICE, "by mistake")
    corrections.reverse(market.app.uow(), utc_now(), OPERATOR, paid.transfer_id, "a mistake")
    assert usage(market) == before


def test_usage_that_is_charged_by_a_reversed_transfer_is_found_by_the_audit(market: Market) -> None:
    add_meter(market)
    [outcome] = send(market, event())
    assert outcome.usage
    assert outcome.usage.transfer_id
    corrections.reverse(market.app.uow(), utc_now(), OPERATOR, outcome.usage.transfer_id, "a mistake")
    set_state = f"UPDATE usage_events SET state = '{{}}' WHERE id = '{outcome.usage.id}'"
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql(set_state.format("charged"))
    [found] = audit.audit_ledger(market.app.uow()).differences
    assert (found.what, found.id, found.recorded_nano, found.computed_nano) == (
        "usage charged",
        outcome.usage.id,
        2 * PRICE,
        0,
    )
    assert [one.code for one in price(market, 3 * PRICE).left] == ["already_reversed"]
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql(set_state.format("void"))
