"""McAfee's double auction: nobody gains by another price than their own, and it never costs the market anything."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.auctions import Ask, Clearing, Miss, Unmatched, clear
from backend.domain.machines import Needs
from tests.unit.domain.books import (
    SPOT,
    Rows,
    any_books,
    ask,
    best_volume,
    best_welfare,
    bid,
    books,
    check_fills,
    crowded_books,
    got,
    market,
    offered,
    single_slot_books,
    singles,
    sold,
    surplus,
    volume,
    welfare,
)

GRID = range(1, 9)  # all prices of the books below, and one beyond them
single_grid_books = books(most=5, price_max=7, slots_max=1, slots_min=1, least=1)
several_grid_books = books(most=5, price_max=7, slots_max=4, least=1)


def outcome(clearing: Clearing) -> list[tuple[int, int, int]]:
    """Slots, what buyers pay and what sellers earn, trade by trade."""
    return [(fill.slots, fill.pays_nano, fill.earns_nano) for fill in clearing.fills]


@pytest.mark.parametrize(
    ("limits", "prices", "trades"),
    [
        ([9, 8], [4, 3], [(1, 8, 4)]),  # nobody after the margin to take a price from: the last trade is given up
        ([9, 4], [8, 3], [(1, 6, 6)]),  # the middle of those after the margin suits those at it
        ([9, 8, 7, 1], [2, 3, 4, 8], [(1, 4, 4)] * 3),
        ([9, 8, 7, 1], [2, 3, 6, 9], [(1, 7, 6)] * 2),
        ([9], [3, 4], []),
        ([9, 8], [3], []),
        ([9], [3], []),
        ([2, 1], [4, 3], []),
    ],
)
def test_the_vectors_of_the_text_book(limits: list[int], prices: list[int], trades: list[tuple[int, int, int]]) -> None:
    assert outcome(singles(limits, prices).clear("mcafee")) == trades


def by_the_book(rows: Rows) -> list[tuple[int, int, int]]:
    """McAfee 1992, section 2, word by word for rows of one slot; prices are whole, rounded down."""
    b = sorted((o.limit_nano for o in rows.bids), reverse=True)
    s = sorted(o.ask_nano for o in rows.asks)
    k = sum(limit >= price for limit, price in zip(b, s, strict=False))
    if k == 0:
        return []
    if k < len(b) and k < len(s):
        middle = (b[k] + s[k]) // 2
        if s[k - 1] <= middle <= b[k - 1]:
            return [(1, middle, middle)] * k
    return [(1, b[k - 1], s[k - 1])] * (k - 1)


@settings(max_examples=300)
@given(single_slot_books)
def test_single_slots_clear_as_the_paper_says(rows: Rows) -> None:
    assert outcome(rows.clear("mcafee")) == by_the_book(rows)


@given(any_books)
def test_nobody_loses_no_slot_is_sold_twice_and_everybody_is_served_or_told_why_not(rows: Rows) -> None:
    check_fills(rows, rows.clear("mcafee"))


@given(any_books | crowded_books | single_slot_books)
def test_the_market_never_pays_more_than_it_takes(rows: Rows) -> None:
    assert surplus(rows.clear("mcafee")) >= 0


@given(any_books | crowded_books)
def test_all_buyers_pay_one_price_and_all_sellers_earn_one(rows: Rows) -> None:
    clearing = rows.clear("mcafee")
    assert {fill.pays_nano for fill in clearing.fills} == ({clearing.price_nano} - {None})
    assert len({fill.earns_nano for fill in clearing.fills}) <= 1


@given(any_books, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_listed_does_not_matter(rows: Rows, random: Random) -> None:
    assert rows.shuffled(random).clear("mcafee") == rows.clear("mcafee")


@given(any_books, st.integers(0, 2**128))
def test_the_same_book_clears_the_same_whatever_the_seed(rows: Rows, seed: int) -> None:
    assert rows.clear("mcafee", seed) == rows.clear("mcafee")


def buyers_gain(rows: Rows, index: int, value: int) -> int:
    """What an order gains to whom each slot is worth `value`."""
    own = rows.bids[index].order_id
    return sum(f.slots * (value - f.pays_nano) for f in rows.clear("mcafee").fills if f.order_id == own)


def sellers_gain(rows: Rows, index: int, value: int) -> int:
    """What an offer gains to whose seller each slot is worth `value`."""
    own = rows.asks[index].offer_id
    return sum(f.slots * (f.earns_nano - value) for f in rows.clear("mcafee").fills if f.offer_id == own)


def lies_that_pay(rows: Rows) -> Iterator[tuple[str, int, int]]:
    """Everybody who gains more by stating another price than their own, and that price."""
    for index, order in enumerate(rows.bids):
        honest = buyers_gain(rows, index, order.limit_nano)
        for price in GRID:
            if buyers_gain(rows.with_bid(index, limit_nano=price), index, order.limit_nano) > honest:
                yield "bid", index, price
    for index, offer in enumerate(rows.asks):
        honest = sellers_gain(rows, index, offer.ask_nano)
        for price in GRID:
            if sellers_gain(rows.with_ask(index, ask_nano=price), index, offer.ask_nano) > honest:
                yield "ask", index, price


@given(single_grid_books)
def test_no_other_price_than_ones_own_gains_more_for_single_slots(rows: Rows) -> None:
    assert list(lies_that_pay(rows)) == []


@given(several_grid_books)
def test_no_other_price_than_ones_own_gains_more_for_several_slots(rows: Rows) -> None:
    assert list(lies_that_pay(rows)) == []


@settings(max_examples=20)
@given(several_grid_books, st.data())
def test_no_other_price_gains_more_whoever_is_aged_or_has_much(rows: Rows, data: st.DataObject) -> None:
    shares = data.draw(st.lists(st.integers(0, 3), min_size=len(rows.bids), max_size=len(rows.bids)))
    bids = tuple(replace(b, share_ppm=share) for b, share in zip(rows.bids, shares, strict=True))
    assert list(lies_that_pay(replace(rows, bids=bids, at=rows.bids[0].placed_at))) == []


def test_no_other_price_gains_more_in_any_small_market_of_few_prices() -> None:
    for limits in combinations_with_replacement((2, 4, 6), 3):
        for prices in combinations_with_replacement((1, 4, 7), 2):
            assert list(lies_that_pay(singles(limits, prices))) == []


def test_the_uniform_auction_is_not_truthful_which_these_tests_would_notice() -> None:
    rows = singles([9, 8], [4, 3])
    assert rows.clear().price_nano == 6
    assert rows.with_bid(1, limit_nano=5).clear().price_nano == 4  # who bids less than 8 pays less than 6


@settings(max_examples=200)
@given(single_slot_books)
def test_at_most_the_least_valuable_trade_is_given_up(rows: Rows) -> None:
    efficient = sum(
        limit >= price
        for limit, price in zip(
            sorted((b.limit_nano for b in rows.bids), reverse=True),
            sorted(a.ask_nano for a in rows.asks),
            strict=False,
        )
    )
    clearing = rows.clear("mcafee")
    assert volume(clearing) in (efficient, max(efficient - 1, 0))
    assert efficient * welfare(rows, clearing) >= (efficient - 1) * best_welfare(rows)


@given(books(most=6, price_max=12, slots_max=4))
def test_of_several_slots_only_those_of_the_marginal_buyer_and_seller_are_given_up(rows: Rows) -> None:
    if len(rows.bids) < 2 or len(offered(rows)) < 2:
        return
    widest = max(*(b.slots for b in rows.bids), *(a.slots for a in rows.asks))
    assert volume(rows.clear("mcafee")) >= best_volume(rows) - widest


@given(books(most=6, price_max=12, slots_max=4))
def test_who_is_left_out_at_the_price_was_later_in_line_and_not_cheaper(rows: Rows) -> None:
    clearing = rows.clear("mcafee")
    bought = got(clearing)
    waiting = sorted(rows.bids, key=lambda b: (b.tier, b.placed_at, b.order_id))
    above = [b for b in waiting if clearing.price_nano is not None and b.limit_nano > clearing.price_nano]
    short = [bought[b.order_id] < b.slots for b in above]
    served = [bought[b.order_id] > 0 for b in above]
    for place, is_short in enumerate(short):
        assert not (is_short and any(served[place + 1 :]))


def test_the_longer_side_is_cut_in_line_and_not_by_price() -> None:
    rows = market(
        [bid(1, 9, slots=2, minute=1), bid(2, 8, slots=2), bid(3, 7, slots=2), bid(4, 2)],
        [ask(1, 3, slots=3), ask(2, 4, slots=3)],
    )
    clearing = rows.clear("mcafee")
    assert {order.int: slots for order, slots in got(clearing).items()} == {2: 2, 1: 1}
    assert outcome(clearing) == [(1, 7, 4), (2, 7, 4)]
    assert {offer.int: slots for offer, slots in sold(clearing).items()} == {1: 3}
    assert {order.int: miss.reason for order, miss in clearing.unmatched.items()} == {
        3: Unmatched.OUTBID,
        4: Unmatched.LIMIT_BELOW_MARKET,
    }


def test_reserved_slots_do_not_apply_since_they_would_make_waiting_pay() -> None:
    rows = market([bid(1, 9), bid(2, 8), bid(3, 7, tier=1)], [ask(1, 3), ask(2, 4)])
    assert replace(rows, reserved={1: 2}).clear("mcafee") == rows.clear("mcafee")


BIG = Needs(memory_mb=1_000)


def test_orders_with_needs_take_no_part_and_are_served_from_what_is_left() -> None:
    rows = market([bid(1, 9), bid(2, 8), bid(3, 9, needs=BIG), bid(4, 9, needs=BIG)], [ask(1, 3), ask(2, 4), ask(3, 5)])
    clearing = rows.clear("mcafee")
    check_fills(rows, clearing)
    alone = market(rows.bids[:2], rows.asks).clear("mcafee")
    assert alone.fills
    assert alone.fills == tuple(fill for fill in clearing.fills if fill.order_id.int < 3)
    assert volume(clearing) == 3
    assert clearing.price_nano == alone.price_nano


def test_orders_with_needs_alone_clear_by_the_uniform_auction() -> None:
    rows = market([bid(1, 9, needs=BIG), bid(2, 8, needs=BIG)], [ask(1, 3), ask(2, 4)])
    assert rows.clear("mcafee") == rows.clear()


@settings(max_examples=100)
@given(books(most=6, price_max=9, slots_max=3), st.data())
def test_books_with_some_needs_keep_every_rule_too(rows: Rows, data: st.DataObject) -> None:
    wanting = data.draw(st.lists(st.booleans(), min_size=len(rows.bids), max_size=len(rows.bids)))
    bids = tuple(replace(b, needs=BIG) if wants else b for b, wants in zip(rows.bids, wanting, strict=True))
    mixed = replace(rows, bids=bids)
    clearing = mixed.clear("mcafee")
    check_fills(mixed, clearing)
    assert surplus(clearing) >= 0


@pytest.mark.parametrize(("limits", "prices"), [([9], [3, 4]), ([9, 8], [3]), ([9], [3]), ([9, 2], [8, 10])])
def test_where_too_few_bid_or_sell_it_is_a_price_that_lacks_and_no_limit_would_have_matched(
    limits: list[int], prices: list[int]
) -> None:
    rows = singles(limits, prices)
    clearing = rows.clear("mcafee")
    assert (clearing.price_nano, clearing.unmatched[rows.bids[0].order_id]) == (None, Miss(Unmatched.NO_PRICE))


def test_without_a_slot_it_is_the_capacity_that_lacks_whoever_is_alone() -> None:
    rows = market([bid(1, 9)], [ask(1, 3, slots=0), ask(2, 3, slots=0)])
    assert rows.clear("mcafee").unmatched == {rows.bids[0].order_id: Miss(Unmatched.NO_CAPACITY)}


@pytest.mark.parametrize("asks", [[ask(1, price)] for price in (1, 5, 9)])
def test_no_limit_can_feel_for_the_ask_of_who_sells_alone(asks: list[Ask]) -> None:
    book = replace(singles(GRID, []), asks=tuple(asks)).book
    told = clear(replace(book, reserve_nano=SPOT), "mcafee").unmatched
    assert told == {
        id_: Miss(Unmatched.NO_PRICE) if limit >= SPOT else Miss(Unmatched.LIMIT_BELOW_MARKET, SPOT)
        for id_, limit in zip(book.bids.ids, GRID, strict=True)
    }
