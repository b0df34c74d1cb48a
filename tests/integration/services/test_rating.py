"""A price that begins in the past corrects what was charged, to the nano, and twice is once."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.metering import UsageState
from backend.domain.money import NANO_PER_CREDIT
from backend.services import deposits, meters, rating
from backend.services.rating import Rerated, rerate
from backend.services.usage_charges import collect_unpaid
from tests.integration.services.usage import (
    FUNDS,
    METER,
    NOTHING,
    OPERATOR,
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
from tests.market import Market, Statements

pytestmark = pytest.mark.usefixtures("books_in_order")


@pytest.mark.parametrize("pays", [True, False], ids=["provider", "market"])
@pytest.mark.parametrize("new", [3 * PRICE, PRICE // 3, 1], ids=["dearer", "cheaper", "almost nothing"])
def test_a_price_that_begins_in_the_past_reverses_and_charges_anew_exactly(
    market: Market, pays: bool, new: int
) -> None:
    add_meter(market, pays=market.provider if pays else None)
    send(market, *(event(number, "0.333333") for number in range(4)))
    before = -(-PRICE * 333_333 // 10**6)
    after = -(-new * 333_333 // 10**6)
    assert price(market, new) == Rerated(4, 0, ())
    assert market.wallet().wallet_nano == FUNDS - 4 * after
    kind = "charge" if pays else "fee"
    assert transfers(market) == [(kind, before)] * 4 + [("reversal", before), (kind, after)] * 4
    assert earned(market, market.provider) == (4 * after if pays else 0)
    assert {(u.amount_nano, u.price_version, u.state) for u in usage(market)} == {(after, 2, UsageState.CHARGED)}


def test_rating_anew_twice_changes_nothing(market: Market) -> None:
    add_meter(market, pays=market.provider)
    send(market, event())
    price(market, 3 * PRICE)
    done = transfers(market), usage(market), market.wallet()
    assert again(market) == NOTHING
    assert (transfers(market), usage(market), market.wallet()) == done


def test_a_corrected_charge_is_corrected_again_and_names_what_it_replaces(market: Market) -> None:
    add_meter(market, pays=market.provider)
    [first] = send(market, event())
    for nano in (3 * PRICE, 2 * PRICE, 7 * PRICE):
        assert price(market, nano).corrected == 1
    assert market.wallet().wallet_nano == FUNDS - 14 * PRICE
    assert transfers(market)[-2:] == [("reversal", 4 * PRICE), ("charge", 14 * PRICE)]
    with market.app.engine.connect() as connection:
        steps = connection.exec_driver_sql(
            "WITH RECURSIVE chain AS (SELECT t.* FROM transfers t JOIN usage_events u ON u.transfer_id = t.id"
            " UNION ALL SELECT t.* FROM transfers t JOIN chain ON t.id = chain.original_id)"
            " SELECT count(*), max(hold_id::text) FROM chain"
        ).one()
    assert first.usage
    assert tuple(steps) == (4, str(first.usage.id))  # back to the charge of the hold that is named as the usage is


def test_only_what_was_used_from_the_beginning_of_the_price_on_is_rated_anew(market: Market) -> None:
    add_meter(market)
    now = utc_now()
    moments = [now - timedelta(hours=hours) for hours in (3, 2, 1)]
    send(market, *(event(number, time=moment.isoformat()) for number, moment in enumerate(moments)))
    assert price(market, 2 * PRICE, moments[1]).corrected == 2
    assert price(market, 9 * PRICE, moments[1] - timedelta(minutes=30)).corrected == 0  # the later beginning counts
    assert [u.amount_nano for u in usage(market)] == [2 * PRICE, 4 * PRICE, 4 * PRICE]


def test_a_price_that_begins_now_or_later_corrects_nothing(market: Market) -> None:
    add_meter(market)
    send(market, event(time=(utc_now() - timedelta(seconds=1)).isoformat()))
    meters.set_price(market.app.uow(), utc_now(), OPERATOR, METER, 2 * PRICE)
    assert price(market, 3 * PRICE, utc_now() + timedelta(days=1)) == NOTHING
    assert transfers(market) == [("fee", 2 * PRICE)]


def test_unpaid_usage_just_gets_its_new_amount(market: Market) -> None:
    add_meter(market)
    poor = market.account("poor")
    send(market, event(subject="poor"))
    assert price(market, 3 * PRICE).corrected == 1
    [waiting] = usage(market)
    assert (waiting.state, waiting.amount_nano) == (UsageState.UNPAID, 6 * PRICE)
    assert transfers(market) == []
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, 6 * PRICE, "more")
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 1
    assert transfers(market) == [("fee", 6 * PRICE)]


def test_unpaid_usage_that_becomes_free_is_settled(market: Market) -> None:
    add_meter(market)
    send(market, event(subject="provider"))
    price(market, 0)
    [settled] = usage(market)
    assert (settled.state, settled.amount_nano) == (UsageState.FREE, 0)
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 0


def test_free_usage_that_becomes_dear_is_collected(market: Market) -> None:
    add_meter(market, price=0)
    send(market, event())
    price(market, PRICE)
    [waiting] = usage(market)
    assert waiting.state is UsageState.UNPAID
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 1
    assert market.wallet().wallet_nano == FUNDS - 2 * PRICE


def test_charged_usage_that_becomes_free_and_dear_again_is_charged_in_the_place_of_its_first_charge(
    market: Market,
) -> None:
    add_meter(market, pays=market.provider)
    send(market, event())
    price(market, 0)
    [settled] = usage(market)
    assert (settled.state, market.wallet().wallet_nano) == (UsageState.FREE, FUNDS)
    price(market, 3 * PRICE)
    [charged] = usage(market)
    assert (charged.state, charged.amount_nano) == (UsageState.CHARGED, 6 * PRICE)
    assert transfers(market) == [("charge", 2 * PRICE), ("reversal", 2 * PRICE), ("charge", 6 * PRICE)]
    assert again(market) == NOTHING


def test_more_usage_than_one_call_may_rate_is_gone_on_with(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "RERATE_MAX", 3)
    monkeypatch.setattr(rating, "RERATE_BATCHES_MAX", 2)
    add_meter(market)
    send(market, *(event(number, time=(utc_now() - timedelta(seconds=number)).isoformat()) for number in range(14)))
    first = price(market, 3 * PRICE)
    assert first.corrected == 6
    assert first.continue_from
    second = rerate(market.app.uow(), utc_now(), OPERATOR, METER, first.continue_from)
    assert (second.corrected, second.continue_from is None) == (6, False)
    assert again(market) == Rerated(2, 0, ())
    assert market.wallet().wallet_nano == FUNDS - 14 * 6 * PRICE


def test_all_usage_is_rated_anew_in_as_many_calls_as_it_takes(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "RERATE_MAX", 3)
    monkeypatch.setattr(rating, "RERATE_BATCHES_MAX", 1)
    add_meter(market, pays=market.provider)
    moment = (utc_now() - timedelta(hours=1)).isoformat()
    send(market, *(event(number, time=(utc_now() - timedelta(seconds=number)).isoformat()) for number in range(7)))
    send(market, *(event(10 + number, time=moment) for number in range(4)))
    done = rating.rerate_all(market.app.uow(), utc_now(), OPERATOR, METER, price(market, 3 * PRICE))
    assert (done.corrected, done.continue_from) == (11, None)
    pay_out(market, 11 * 6 * PRICE)
    stuck = rating.rerate_all(market.app.uow(), utc_now(), OPERATOR, METER, price(market, PRICE))
    assert stuck.corrected == 0
    assert {u.amount_nano for u in usage(market)} == {6 * PRICE}


def test_rating_anew_takes_as_many_statements_for_many_events_and_accounts_as_for_two(market: Market) -> None:
    add_meter(market, pays=market.provider)
    names = [f"a{number}" for number in range(8)]
    for name in names:
        market.account(name, NANO_PER_CREDIT)
    seen = []
    for count, nano in ((2, 3 * PRICE), (300, 2 * PRICE)):
        send(market, *(event(number, subject=names[number % 8], source=f"/of-{count}") for number in range(count)))
        with Statements(market.app.engine) as statements:
            assert price(market, nano).corrected >= count
        seen.append(statements.count)
    assert seen[0] == seen[1] <= 30, seen
