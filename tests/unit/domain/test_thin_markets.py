"""Markets with fewer than two bids or asks: all trade at the spot price or, above it, the highest ask that trades."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Ask, Bid, Unmatched, clear
from tests.unit.domain.books import (
    SPOT,
    Rows,
    any_books,
    ask,
    best_volume,
    bid,
    books,
    check_fills,
    is_thin,
    market,
    offered,
    sold,
    surplus,
    volume,
)

lonely_books = (
    books(most=1, price_max=10, slots_max=4)
    | any_books.filter(is_thin)
    | st.builds(lambda rows: replace(rows, asks=rows.asks[:1]), any_books)
    | st.builds(lambda rows: replace(rows, bids=rows.bids[:1]), any_books)
)
DEAR = 10 * SPOT


@given(lonely_books)
def test_nobody_loses_no_slot_is_sold_twice_and_nothing_stays_with_the_market(rows: Rows) -> None:
    clearing = rows.clear()
    check_fills(rows, clearing)
    assert surplus(clearing) == 0


@given(lonely_books)
def test_all_pay_the_spot_price_or_above_it_the_highest_ask_that_trades(rows: Rows) -> None:
    clearing = rows.clear()
    if clearing.fills:
        price = max(rows.spot_nano, *(rows.ask_of(fill).ask_nano for fill in clearing.fills))
        assert {fill.pays_nano for fill in clearing.fills} == {clearing.price_nano} == {price}


@given(lonely_books)
def test_as_much_trades_as_any_one_price_from_the_spot_price_on_allows(rows: Rows) -> None:
    assert volume(rows.clear()) == best_volume(rows)


@given(lonely_books)
def test_who_reaches_the_spot_price_and_an_ask_gets_nothing_only_if_all_that_they_reach_is_sold(rows: Rows) -> None:
    clearing = rows.clear()
    taken = sold(clearing)
    for order in rows.bids:
        if order.order_id in clearing.unmatched and order.limit_nano >= rows.spot_nano:
            within = [offer for offer in offered(rows) if offer.ask_nano <= order.limit_nano]
            assert all(taken[offer.offer_id] == offer.slots for offer in within)


@given(lonely_books, st.integers(1, 12), st.integers(0, 12))
def test_the_highest_ask_lifts_no_price_above_the_cap_and_a_spot_price_above_it_does_not_either(
    rows: Rows, reserve: int, room: int
) -> None:
    clearing = clear(replace(rows.book, reserve_nano=reserve, cap_nano=reserve + room))
    for fill in clearing.fills:
        assert max(reserve, rows.ask_of(fill).ask_nano) <= fill.pays_nano == fill.earns_nano
        assert fill.pays_nano <= min(reserve + room, rows.bid_of(fill).limit_nano)


@pytest.mark.parametrize(
    ("bids", "asks", "trades"),
    [
        ([bid(1, DEAR)], [ask(1, DEAR)], [(1, 1, DEAR)]),
        ([bid(1, 2 * DEAR)], [ask(1, DEAR, slots=8)], [(1, 1, DEAR)]),
        ([bid(1, 2 * DEAR), bid(2, DEAR), bid(3, DEAR - 1)], [ask(1, DEAR, slots=8)], [(1, 1, DEAR), (2, 1, DEAR)]),
        ([bid(1, 2 * DEAR)], [ask(1, DEAR), ask(2, DEAR + 1)], [(1, 1, DEAR)]),
        ([bid(1, 2 * DEAR, slots=3)], [ask(1, 1), ask(2, DEAR), ask(3, 3 * DEAR)], [(1, 1, DEAR), (1, 2, DEAR)]),
        ([bid(1, 2 * DEAR, slots=2)], [ask(1, 1), ask(2, 2), ask(3, DEAR)], [(1, 1, SPOT), (1, 2, SPOT)]),
    ],
)
def test_who_asks_more_than_the_spot_price_sells_at_their_ask_to_who_can_pay_it(
    bids: list[Bid], asks: list[Ask], trades: list[tuple[int, int, int]]
) -> None:
    clearing = market(bids, asks).clear()
    assert [(f.order_id.int, f.offer_id.int, f.pays_nano) for f in clearing.fills] == trades


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ([bid(1, SPOT)], [ask(1, SPOT)], None),
        ([bid(1, SPOT + 9)], [ask(1, 1)], None),
        ([bid(1, SPOT)], [ask(1, 1), ask(2, 2)], None),
        ([bid(1, SPOT + 9)], [ask(1, SPOT + 9)], None),
        ([bid(1, SPOT)], [], Unmatched.NO_CAPACITY),
        ([bid(1, SPOT)], [ask(1, 1, slots=0)], Unmatched.NO_CAPACITY),
        ([bid(1, SPOT - 1)], [ask(1, SPOT - 1)], Unmatched.LIMIT_BELOW_MARKET),
        ([bid(1, SPOT)], [ask(1, SPOT + 1)], Unmatched.LIMIT_BELOW_MARKET),
        ([bid(1, SPOT), bid(2, SPOT + 1)], [ask(1, SPOT)], Unmatched.OUTBID),
        ([bid(1, DEAR), bid(2, DEAR + 1)], [ask(1, DEAR)], Unmatched.OUTBID),
        ([bid(1, SPOT + 1, tier=1), bid(2, SPOT + 1)], [ask(1, SPOT)], Unmatched.OUTBID),
    ],
)
def test_the_first_order_of_a_thin_market_is_served_or_told_why_not(
    bids: list[Bid], asks: list[Ask], reason: Unmatched | None
) -> None:
    clearing = market(bids, asks).clear()
    miss = clearing.unmatched.get(bids[0].order_id)
    assert (miss and miss.reason) == reason
