"""Usage that a price cannot correct, for want of money, stays as it was and is reported; later it is corrected."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.metering import UsageState
from backend.services import deposits
from backend.services.rating import Left, Rerated
from tests.integration.services.usage import (
    FUNDS,
    PRICE,
    add_meter,
    again,
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


def test_usage_whose_provider_was_paid_out_is_left_as_it_was_and_reported(market: Market) -> None:
    add_meter(market, pays=market.provider)
    send(market, event(1), event(2))
    pay_out(market, 3 * PRICE)
    left = price(market, PRICE // 2)  # there is enough for one of them, the charge anew included
    assert (left.corrected, left.left_count) == (1, 1)
    [one] = [u for u in usage(market) if u.price_version == 1]
    assert left.left == (Left(one.id, "payee_short_of_funds"),)
    assert (one.amount_nano, one.state) == (2 * PRICE, UsageState.CHARGED)
    assert again(market) == Rerated(0, 1, left.left)
    send(market, event(3, "100"))
    assert again(market) == Rerated(1, 0, ())
    assert market.wallet().wallet_nano == FUNDS - 52 * PRICE


def test_a_dearer_price_is_charged_although_the_provider_was_paid_out(market: Market) -> None:
    add_meter(market, pays=market.provider)
    send(market, event())
    pay_out(market, 2 * PRICE)
    assert price(market, 3 * PRICE) == Rerated(1, 0, ())
    assert transfers(market)[-2:] == [("reversal", 2 * PRICE), ("charge", 6 * PRICE)]
    assert earned(market, market.provider) == 6 * PRICE


def test_usage_whose_payer_cannot_pay_the_dearer_price_is_left_as_it_was_and_reported(market: Market) -> None:
    add_meter(market)
    poor = market.account("poor", 5 * PRICE)
    send(market, event(1, subject="poor"), event(2))
    left = price(market, 3 * PRICE)
    assert (left.corrected, [one.code for one in left.left]) == (1, ["insufficient_funds"])
    assert {(u.event_id, u.amount_nano) for u in usage(market)} == {("event-1", 2 * PRICE), ("event-2", 6 * PRICE)}
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, PRICE, "more")
    assert again(market) == Rerated(1, 0, ())


def test_usage_that_would_cost_more_than_can_be_moved_is_left_and_reported(market: Market) -> None:
    add_meter(market)
    send(market, event())
    assert [one.code for one in price(market, 10**18).left] == ["invalid_amount"]
