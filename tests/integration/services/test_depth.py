"""What is open on a market: bands that give nobody away, and the book that only admins see."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.depth import EDGES_PPM, Band
from backend.domain.errors import Forbidden, Invalid, NotFound
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.nodes import NodeSpec
from backend.services import depth, nodes, orders, pricing
from tests.integration.services.earning import ADMIN
from tests.market import ASK, Market

HALF, ONE, TWO = EDGES_PPM


def offered(market: Market, name: str, ask: int, slots: int = 1) -> Principal:
    """A provider of its own with a node in the north."""
    provider = market.account(f"provider-{name}")
    spec = NodeSpec(name, "fog", "north", slots, "pool")
    node = nodes.register_node(market.app.uow(), utc_now(), provider.account_id, spec)
    nodes.offer(market.app.uow(), utc_now(), node.id, ask, provider)
    return provider


def wished(market: Market, name: str, limit: int, slots: int = 1) -> None:
    """An order of a buyer of its own."""
    buyer = market.account(f"buyer-{name}", 100 * NANO_PER_CREDIT)
    request = market.request(limit_nano_per_slot_s=limit, slots=slots)
    orders.place_workload(market.app.uow(), utc_now(), buyer, request)


def shown(market: Market) -> depth.MarketDepth:
    """The depth of the one market."""
    [found] = depth.market_depth(market.app.uow(), utc_now())
    return found


def test_a_market_without_a_price_has_no_depth_and_one_without_orders_has_empty_bands(market: Market) -> None:
    offered(market, "a", ASK)
    market.executor()
    assert depth.market_depth(market.app.uow(), utc_now()) == []
    pricing.reprice(market.app.uow(), utc_now())
    found = shown(market)
    assert (str(found.market), found.spot_nano_per_slot_s, found.slots_free) == ("fog/north", ASK, 1)
    assert found.waiting == (Band(None, HALF, 0), Band(HALF, ONE, 0), Band(ONE, TWO, 0), Band(TWO, None, 0))
    assert found.free == (Band(None, None, None),)


def test_three_accounts_make_a_band_and_three_quotes_of_two_do_not(market: Market) -> None:
    market.executor()
    for name, slots in (("a", 1), ("b", 2)):
        offered(market, name, ASK, slots)
    owner = offered(market, "c", 9 * ASK)
    pricing.reprice(market.app.uow(), utc_now())
    assert shown(market).free == (Band(None, HALF, 0), Band(HALF, None, 4))
    node = nodes.register_node(market.app.uow(), utc_now(), owner.account_id, NodeSpec("c2", "fog", "north", 5, "pool"))
    nodes.offer(market.app.uow(), utc_now(), node.id, ASK, owner)
    # Three accounts are at the spot price now, but the dear offer alone would be its owner's.
    assert shown(market).free == (Band(None, HALF, 0), Band(HALF, None, 9))
    for name in ("d", "e"):
        offered(market, name, 8 * ASK)
    assert shown(market).free == (Band(None, HALF, 0), Band(HALF, ONE, 8), Band(ONE, TWO, 0), Band(TWO, None, 3))


def test_waiting_demand_is_told_by_what_it_would_pay_and_leaves_when_it_is_served(market: Market) -> None:
    market.executor()
    for name in ("a", "b", "c"):
        offered(market, name, ASK)
    pricing.reprice(market.app.uow(), utc_now())
    for name in ("x", "y", "z"):
        wished(market, name, 2 * ASK, slots=2)
    assert shown(market).waiting == (
        Band(None, HALF, 0),
        Band(HALF, ONE, 0),
        Band(ONE, TWO, 6),
        Band(TWO, None, 0),
    )
    wished(market, "rich", 9 * ASK)
    assert shown(market).waiting[2:] == (Band(ONE, None, 7),)


def test_nodes_that_do_not_live_or_are_busy_are_not_free(market: Market) -> None:
    for name in ("a", "b", "c"):
        offered(market, name, ASK, slots=2)
    market.executor()
    pricing.reprice(market.app.uow(), utc_now())
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE nodes SET busy_slots = 1 WHERE name = 'a'")
        connection.exec_driver_sql("UPDATE nodes SET busy_slots = 2 WHERE name = 'b'")
    assert shown(market).free == (Band(None, None, None),)
    [later] = depth.market_depth(market.app.uow(), utc_now() + timedelta(hours=1))
    assert (later.slots_free, [band.slots for band in later.free]) == (0, [0] * 4)


def test_the_book_holds_every_open_order_and_offer_best_first(market: Market) -> None:
    for name, ask in (("a", 3 * ASK), ("b", ASK), ("c", 2 * ASK)):
        offered(market, name, ask)
    market.executor()
    for name, limit in (("x", 5 * ASK), ("y", 7 * ASK)):
        wished(market, name, limit)
    book = depth.market_book(market.app.uow(), utc_now(), ADMIN)
    assert [order.limit_nano for order in book.orders] == [7 * ASK, 5 * ASK]
    assert [(offer.node, offer.ask_nano) for offer in book.offers] == [("b", ASK), ("c", 2 * ASK), ("a", 3 * ASK)]
    assert book.complete
    best = depth.market_book(market.app.uow(), utc_now(), ADMIN, "fog", "north", 2)
    assert (len(best.orders), len(best.offers), best.complete) == (2, 2, False)
    elsewhere = depth.market_book(market.app.uow(), utc_now(), ADMIN, resource_class="cloud")
    assert (elsewhere.orders, elsewhere.offers) == ([], [])
    with pytest.raises(NotFound) as refused:
        depth.market_book(market.app.uow(), utc_now(), ADMIN, region="south")
    assert (refused.value.code, refused.value.accepted) == ("unknown_region", "north")


def test_only_admins_see_the_book_and_no_more_of_it_at_once_than_its_limit(market: Market) -> None:
    with pytest.raises(Forbidden):
        depth.market_book(market.app.uow(), utc_now(), market.provider)
    for limit in (0, depth.BOOK_MAX + 1):
        with pytest.raises(Invalid) as refused:
            depth.market_book(market.app.uow(), utc_now(), ADMIN, limit=limit)
        assert (refused.value.code, refused.value.field) == ("invalid_limit", "limit")
