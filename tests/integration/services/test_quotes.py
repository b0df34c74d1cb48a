"""Quotes: how long they are valid, how they explain themselves, and the cheaper ways that they tell."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.advice import QUOTE_VALID_S, Change
from backend.domain.ids import NodeId
from backend.domain.machines import Needs
from backend.domain.nodes import NodeSpec
from backend.domain.pricing import Cause, PricePoint
from backend.domain.pricing import Market as Place
from backend.services import nodes, orders, pricing
from tests.market import ASK, Market

DEAR = 1_000 * ASK  # so dear that the microseconds of a small model cost something
IN_THREE_HOURS = timedelta(hours=2, minutes=50)


def sell(market: Market, resource_class: str, region: str, ask: int) -> NodeId:
    """A node in a market of its own."""
    spec = NodeSpec(f"{resource_class}-{region}", resource_class, region, 1, "pool")
    node = nodes.register_node(market.app.uow(), utc_now(), market.provider.account_id, spec)
    nodes.offer(market.app.uow(), utc_now(), node.id, ask, market.provider)
    return node.id


@pytest.fixture
def sold(market: Market) -> dict[str, NodeId]:
    """A dear market, one of another class at a quarter of its price, one of another region at the half of it."""
    made = {
        "here": sell(market, "fog", "north", DEAR),
        "south": sell(market, "fog", "south", DEAR // 2),
        "cloud": sell(market, "cloud", "north", DEAR // 4),
    }
    market.executor()
    pricing.reprice(market.app.uow(), utc_now())
    return made


def quoted(market: Market, **changes: object) -> orders.Quote:
    """A quote for an order that is to run in the north."""
    return orders.quote(market.app.uow(), utc_now(), market.request(region="north", **changes))


def ways(quote: orders.Quote) -> list[tuple[Change, str, int]]:
    """What a quote advises, and at which spot price."""
    return [(way.change, way.market, way.spot_nano_per_slot_s) for way in quote.alternatives]


def test_a_quote_tells_the_cheapest_hour_class_and_region(market: Market, sold: dict[str, NodeId]) -> None:
    def earlier(days: int) -> PricePoint:
        at = utc_now() - timedelta(days=days) + IN_THREE_HOURS
        return PricePoint(Place("fog", "north"), at, DEAR // 8, 0, 1, 0, Cause.STEADY)

    with market.app.uow() as uow:
        uow.price_points.add([earlier(1), earlier(2)])
        uow.commit()
    quote = quoted(market)
    assert quote.markets == ("fog/north", "cloud/north")
    assert ways(quote) == [
        (Change.LATER, "fog/north", DEAR // 8),
        (Change.RESOURCE_CLASS, "cloud/north", DEAR // 4),
        (Change.REGION, "fog/south", DEAR // 2),
    ]
    assert [way.at is not None for way in quote.alternatives] == [True, False, False]
    assert all(quote.expected_nano - way.expected_nano == way.saving_nano > 0 for way in quote.alternatives)


def test_nobody_is_sent_where_no_node_has_what_is_needed(market: Market, sold: dict[str, NodeId]) -> None:
    quote = quoted(market, needs=Needs(only=(sold["here"], sold["south"])))
    assert ways(quote) == [(Change.REGION, "fog/south", DEAR // 2)]


def test_the_cheapest_market_itself_has_no_alternative(market: Market, sold: dict[str, NodeId]) -> None:
    assert quoted(market, priority="cost").alternatives == ()
    assert quoted(market, priority="cost").markets == ("cloud/north", "fog/north")


def test_a_quote_says_how_long_it_is_valid_and_how_its_limit_comes_about(market: Market) -> None:
    market.node("a")
    market.executor()
    now = utc_now()
    quote = orders.quote(market.app.uow(), now, market.request())
    assert quote.valid_until == now + timedelta(seconds=QUOTE_VALID_S)
    assert "fog/north costs 0.001000000 credits per slot-second now" in quote.explanation
    assert orders.place_workload(market.app.uow(), now, market.buyer, market.request()).quote == quote
