"""Meters and their prices: versions that are set once, within limits, by admins."""

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, UsageId
from backend.domain.metering import MeterPrice
from backend.services import metering, meters, rating
from backend.services.rating import rerate
from tests.integration.services.usage import METER, OPERATOR, PRICE, add_meter, price
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_meters_are_added_once_and_refuse_what_cannot_be(market: Market) -> None:
    add_meter(market)
    with pytest.raises(Conflict) as taken:
        add_meter(market)
    assert taken.value.code == "meter_exists"
    new, now = market.app.uow, utc_now()
    for name, unit, nano in [("a b", "u", 1), ("", "u", 1), ("m", "", 1), ("m", "\n", 1), ("m", "u", -1)]:
        with pytest.raises(Invalid):
            meters.add_meter(new(), now, OPERATOR, name, unit, nano)
    with pytest.raises(NotFound):
        meters.add_meter(new(), now, OPERATOR, "m", "u", 1, AccountId(new_id()))
    for act in (
        lambda: meters.add_meter(new(), now, market.buyer, "m", "u", 1),
        lambda: meters.set_price(new(), now, market.buyer, METER, 1),
        lambda: rerate(new(), now, market.buyer, METER),
        lambda: rating.take_back(new(), now, market.buyer, UsageId(new_id()), "r"),
    ):
        with pytest.raises(Forbidden):
            act()
    for unknown in (
        lambda: meters.set_price(new(), now, OPERATOR, "m", 1),
        lambda: rerate(new(), now, OPERATOR, "m"),
        lambda: meters.list_prices(new(), "m"),
        lambda: rating.take_back(new(), now, OPERATOR, UsageId(new_id()), "r"),
        lambda: metering.show_usage(new(), UsageId(new_id()), OPERATOR),
    ):
        with pytest.raises(NotFound):
            unknown()
    assert [(view.meter.name, view.price.nano_per_unit) for view in meters.list_meters(new(), now)] == [(METER, PRICE)]


def test_there_are_only_so_many_meters_and_prices(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "METERS_MAX", 1)
    monkeypatch.setattr(meters, "PRICES_MAX", 2)
    add_meter(market)
    price(market, 2)
    with pytest.raises(Conflict) as prices:
        price(market, 3)
    with pytest.raises(Conflict) as more:
        add_meter(market, name="other")
    assert (prices.value.code, more.value.code) == ("too_many_prices", "too_many_meters")


def test_a_price_that_is_sent_twice_with_one_key_is_set_once(market: Market) -> None:
    add_meter(market)
    key = Idempotency("key", b"digest")

    def set_it() -> MeterPrice:
        account = market.buyer.account_id
        caller = Principal(None, account, Role.ADMIN)
        return meters.set_price(market.app.uow(), utc_now(), caller, METER, 7, idempotency=key)[0]

    assert set_it() == set_it()
    assert [version.version for version in meters.list_prices(market.app.uow(), METER)] == [1, 2]
