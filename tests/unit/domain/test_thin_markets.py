"""Markets with fewer than two bids or asks have no price to discover: the spot price decides."""

import pytest
from hypothesis import given

from backend.domain.auctions import Ask, Bid, Book, Unmatched, clear
from tests.unit.domain.books import SPOT, any_books, ask, bid, books, is_thin, volume

lonely_books = books(most=1, price_max=10, slots_max=4) | any_books.filter(is_thin)


@given(lonely_books)
def test_a_thin_market_trades_at_the_spot_price_or_not_at_all(book: Book) -> None:
    clearing = clear(book)
    assert clearing.price_nano in (None, book.spot_nano)
    for fill in clearing.fills:
        assert fill.ask.ask_nano <= fill.price_nano == book.spot_nano <= fill.bid.limit_nano


@given(lonely_books)
def test_a_thin_market_trades_whenever_a_bid_and_an_ask_meet_at_the_spot_price(book: Book) -> None:
    meet = any(b.limit_nano >= book.spot_nano for b in book.bids) and any(
        a.slots and a.ask_nano <= book.spot_nano for a in book.asks
    )
    assert (volume(clear(book)) > 0) == meet


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
        ([bid(1, SPOT + 1), bid(2, SPOT + 1, rank=-1)], [ask(1, SPOT)], Unmatched.OUTBID),
    ],
)
def test_the_first_order_of_a_thin_market_is_served_or_told_why_not(
    bids: list[Bid], asks: list[Ask], reason: Unmatched | None
) -> None:
    clearing = clear(Book(bids, asks, SPOT))
    assert clearing.unmatched.get(bids[0].order_id) == reason
    assert clearing.price_nano == (SPOT if clearing.fills else None)
