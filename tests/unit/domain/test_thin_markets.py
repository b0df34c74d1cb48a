"""Markets with fewer than two bids or asks have no price to discover: the spot price decides."""

import pytest
from hypothesis import given

from backend.domain.auctions import Ask, Bid, Unmatched
from tests.unit.domain.books import SPOT, Rows, any_books, ask, bid, books, check_fills, is_thin, market, volume

lonely_books = books(most=1, price_max=10, slots_max=4) | any_books.filter(is_thin)


@given(lonely_books)
def test_a_thin_market_trades_at_the_spot_price_or_not_at_all(rows: Rows) -> None:
    clearing = rows.clear()
    check_fills(rows, clearing)
    assert clearing.price_nano in (None, rows.spot_nano)
    assert all(fill.pays_nano == fill.earns_nano == rows.spot_nano for fill in clearing.fills)


@given(lonely_books)
def test_a_thin_market_trades_whenever_a_bid_and_an_ask_meet_at_the_spot_price(rows: Rows) -> None:
    meet = any(b.limit_nano >= rows.spot_nano for b in rows.bids) and any(
        a.slots and a.ask_nano <= rows.spot_nano for a in rows.asks
    )
    assert (volume(rows.clear()) > 0) == meet


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ([bid(1, SPOT)], [ask(1, SPOT)], None),
        ([bid(1, SPOT + 9)], [ask(1, 1)], None),
        ([bid(1, SPOT)], [ask(1, 1), ask(2, 2)], None),
        ([bid(1, SPOT)], [], Unmatched.NO_CAPACITY),
        ([bid(1, SPOT)], [ask(1, 1, slots=0)], Unmatched.NO_CAPACITY),
        ([bid(1, SPOT - 1)], [ask(1, SPOT - 1)], Unmatched.LIMIT_BELOW_MARKET),
        ([bid(1, SPOT)], [ask(1, SPOT + 1)], Unmatched.LIMIT_BELOW_MARKET),
        ([bid(1, SPOT), bid(2, SPOT + 1)], [ask(1, SPOT)], Unmatched.OUTBID),
        ([bid(1, SPOT + 1, tier=1), bid(2, SPOT + 1)], [ask(1, SPOT)], Unmatched.OUTBID),
    ],
)
def test_the_first_order_of_a_thin_market_is_served_or_told_why_not(
    bids: list[Bid], asks: list[Ask], reason: Unmatched | None
) -> None:
    clearing = market(bids, asks).clear()
    miss = clearing.unmatched.get(bids[0].order_id)
    assert (miss and miss.reason) == reason
    assert clearing.price_nano == (SPOT if clearing.fills else None)
