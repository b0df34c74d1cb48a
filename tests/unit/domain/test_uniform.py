"""The uniform k-double auction: what holds for every book."""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Book, Unmatched, clear
from backend.domain.auctions.uniform import clear_uniform
from backend.domain.errors import Invalid
from backend.domain.money import PPM
from tests.unit.domain.books import (
    SPOT,
    any_books,
    ask,
    best_volume,
    best_welfare,
    bid,
    books,
    crowded_books,
    is_thin,
    offered,
    small_books,
    volume,
    welfare,
)
from tests.unit.domain.refusals import refusal


@given(any_books)
def test_nobody_pays_above_their_limit_or_sells_below_their_ask(book: Book) -> None:
    for fill in clear(book).fills:
        assert fill.ask.ask_nano <= fill.price_nano <= fill.bid.limit_nano


@given(any_books)
def test_all_trades_of_an_epoch_have_one_price(book: Book) -> None:
    clearing = clear(book)
    assert {fill.price_nano for fill in clearing.fills} == ({clearing.price_nano} - {None})


@given(any_books)
def test_no_slot_is_sold_twice_and_no_order_gets_more_than_it_asked_for(book: Book) -> None:
    sold: Counter[object] = Counter()
    got: Counter[object] = Counter()
    for fill in clear(book).fills:
        assert fill.slots >= 1
        assert fill.bid in book.bids
        assert fill.ask in book.asks
        sold[fill.ask.offer_id] += fill.slots
        got[fill.bid.order_id] += fill.slots
    assert all(sold[a.offer_id] <= a.slots for a in book.asks)
    assert all(got[b.order_id] <= b.slots for b in book.bids)


@given(any_books)
def test_as_much_is_traded_as_any_one_price_allows(book: Book) -> None:
    assert volume(clear(book)) == best_volume(book)


@given(small_books)
def test_no_other_assignment_of_slots_gains_more(book: Book) -> None:
    assert welfare(clear(book)) == best_welfare(book)


@given(any_books, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_listed_does_not_matter(book: Book, random: Random) -> None:
    bids, asks = random.sample(book.bids, len(book.bids)), random.sample(book.asks, len(book.asks))
    shuffled = Book(bids, asks, book.spot_nano)
    assert clear(shuffled) == clear(book)


@given(any_books, st.integers(0, 2**128))
def test_the_same_book_clears_the_same_whatever_the_seed(book: Book, seed: int) -> None:
    assert clear(book, "uniform", seed) == clear(book)


def in_turn(rows: Iterable[tuple[int, int]]) -> bool:
    """Whether of (slots traded, slots wanted) nobody traded anything after somebody who traded too little."""
    return all(later == 0 for (traded, wanted), (later, _) in combinations(rows, 2) if traded < wanted)


@given(crowded_books)
def test_better_bids_are_served_in_full_before_worse_ones_and_ties_go_by_tier_then_time_then_id(book: Book) -> None:
    got: Counter[object] = Counter()
    for fill in clear(book).fills:
        got[fill.bid.order_id] += fill.slots
    ranked = sorted(book.bids, key=lambda b: (-b.limit_nano, b.rank, b.placed_at, b.order_id))
    assert in_turn((got[b.order_id], b.slots) for b in ranked)


@given(crowded_books)
def test_cheaper_slots_are_sold_out_before_dearer_ones(book: Book) -> None:
    sold: Counter[object] = Counter()
    for fill in clear(book).fills:
        sold[fill.ask.offer_id] += fill.slots
    ranked = sorted(book.asks, key=lambda a: (a.ask_nano, a.offer_id))
    assert in_turn((sold[a.offer_id], a.slots) for a in ranked)


@given(books(least=2, most=8, price_max=1_000, slots_max=4), st.integers(0, PPM))
def test_the_price_splits_the_gap_between_the_worst_bid_and_the_worst_ask_that_trade(book: Book, k_ppm: int) -> None:
    clearing = clear_uniform(book, 0, k_ppm)
    if is_thin(book) or not clearing.fills:
        return
    low = max(fill.ask.ask_nano for fill in clearing.fills)
    high = min(fill.bid.limit_nano for fill in clearing.fills)
    assert clearing.price_nano == (low * (PPM - k_ppm) + high * k_ppm) // PPM


@given(any_books)
def test_every_order_is_served_or_told_why_not(book: Book) -> None:
    clearing = clear(book)
    served = {fill.bid.order_id for fill in clearing.fills}
    assert served.isdisjoint(clearing.unmatched)
    assert served | clearing.unmatched.keys() == {b.order_id for b in book.bids}


@given(any_books)
def test_the_reason_is_the_one_nearest_to_success(book: Book) -> None:
    clearing = clear(book)
    cheapest = min((a.ask_nano for a in offered(book)), default=0)
    needed = max(cheapest, book.spot_nano) if is_thin(book) else cheapest
    for b in book.bids:
        if reason := clearing.unmatched.get(b.order_id):
            assert (reason is Unmatched.LIMIT_BELOW_MARKET) == bool(offered(book) and b.limit_nano < needed)
            assert reason is Unmatched.NO_CAPACITY or offered(book)
            assert reason is Unmatched.OUTBID or b.limit_nano < needed or not clearing.fills


@given(any_books)
def test_only_who_lost_to_somebody_else_is_told_that_they_were_outbid(book: Book) -> None:
    clearing = clear(book)
    for b in book.bids:
        if clearing.unmatched.get(b.order_id) is Unmatched.OUTBID:
            assert any(fill.bid.limit_nano >= b.limit_nano for fill in clearing.fills)


def test_two_buyers_and_two_sellers_trade_in_the_middle_of_the_marginal_pair() -> None:
    clearing = clear(Book([bid(1, 9), bid(2, 8)], [ask(1, 4), ask(2, 3)], SPOT))
    assert [(fill.bid.limit_nano, fill.ask.ask_nano) for fill in clearing.fills] == [(9, 3), (8, 4)]
    assert clearing.price_nano == 6


def test_an_order_of_several_slots_takes_what_there_is_from_several_offers() -> None:
    clearing = clear(Book([bid(1, 9, slots=5), bid(2, 2)], [ask(1, 3, slots=2), ask(2, 4, slots=1)], SPOT))
    assert [(fill.ask.ask_nano, fill.slots) for fill in clearing.fills] == [(3, 2), (4, 1)]
    assert clearing.unmatched == {bid(2, 2).order_id: Unmatched.LIMIT_BELOW_MARKET}


def test_a_mechanism_that_does_not_exist_is_refused_with_those_that_do() -> None:
    error = refusal(lambda: clear(Book([], [], SPOT), "lottery"))
    assert isinstance(error, Invalid)
    assert (error.code, error.field, error.accepted) == ("invalid_mechanism", "mechanism", "uniform")


@pytest.mark.parametrize("book", [Book([], [], SPOT), Book([], [ask(1, 1), ask(2, 2)], SPOT)])
def test_a_book_without_orders_clears_to_nothing(book: Book) -> None:
    clearing = clear(book)
    assert (clearing.price_nano, clearing.fills, clearing.unmatched) == (None, (), {})
