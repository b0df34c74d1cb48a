"""The uniform k-double auction: what holds for every book."""

from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Clearing, Unmatched
from backend.domain.auctions.uniform import clear_uniform
from backend.domain.errors import Invalid
from backend.domain.money import PPM
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
    is_thin,
    least_price,
    market,
    offered,
    singles,
    small_books,
    sold,
    volume,
    welfare,
)
from tests.unit.domain.refusals import refusal


@given(any_books)
def test_nobody_loses_no_slot_is_sold_twice_and_everybody_is_served_or_told_why_not(rows: Rows) -> None:
    check_fills(rows, rows.clear())


@given(any_books)
def test_all_trades_of_an_epoch_have_one_price_of_which_nothing_stays_with_the_market(rows: Rows) -> None:
    clearing = rows.clear()
    assert {fill.pays_nano for fill in clearing.fills} == ({clearing.price_nano} - {None})
    assert all(fill.pays_nano == fill.earns_nano for fill in clearing.fills)


@given(any_books)
def test_as_much_is_traded_as_any_one_price_allows(rows: Rows) -> None:
    assert volume(rows.clear()) == best_volume(rows)


@given(small_books)
def test_no_other_assignment_of_slots_gains_more(rows: Rows) -> None:
    assert welfare(rows, rows.clear()) == best_welfare(rows)


@given(any_books, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_listed_does_not_matter(rows: Rows, random: Random) -> None:
    assert rows.shuffled(random).clear() == rows.clear()


@given(any_books, st.integers(0, 2**128))
def test_the_same_book_clears_the_same_whatever_the_seed(rows: Rows, seed: int) -> None:
    assert rows.clear("uniform", seed) == rows.clear()


def test_a_clearing_equals_only_a_clearing_with_the_same_outcome() -> None:
    clearing = singles([9, 8], [4, 3]).clear()
    assert clearing != singles([9, 8], [4, 5]).clear()
    assert clearing != "a clearing"
    assert isinstance(clearing, Clearing)


def in_turn(rows: Iterable[tuple[int, int]]) -> bool:
    """Whether of (slots traded, slots wanted) nobody traded anything after somebody who traded too little."""
    return all(later == 0 for (traded, wanted), (later, _) in combinations(rows, 2) if traded < wanted)


@given(crowded_books)
def test_better_bids_are_served_in_full_before_worse_ones_and_ties_go_by_tier_then_time_then_id(rows: Rows) -> None:
    bought = got(rows.clear())
    ranked = sorted(rows.bids, key=lambda b: (-b.limit_nano, b.tier, b.placed_at, b.order_id))
    assert in_turn((bought[b.order_id], b.slots) for b in ranked)


@given(crowded_books)
def test_cheaper_slots_are_sold_out_before_dearer_ones(rows: Rows) -> None:
    taken = sold(rows.clear())
    ranked = sorted(rows.asks, key=lambda a: (a.ask_nano, a.offer_id))
    assert in_turn((taken[a.offer_id], a.slots) for a in ranked)


@given(books(least=2, most=8, price_max=1_000, slots_max=4), st.integers(0, PPM))
def test_the_price_splits_the_gap_between_the_worst_bid_and_the_worst_ask_that_trade(rows: Rows, k_ppm: int) -> None:
    clearing = clear_uniform(rows.book, 0, k_ppm)
    if is_thin(rows) or not clearing.fills:
        return
    low = max(rows.ask_of(fill).ask_nano for fill in clearing.fills)
    high = min(rows.bid_of(fill).limit_nano for fill in clearing.fills)
    assert clearing.price_nano == (low * (PPM - k_ppm) + high * k_ppm) // PPM


@given(any_books)
def test_the_reason_is_the_one_nearest_to_success(rows: Rows) -> None:
    clearing = rows.clear()
    cheapest = min((a.ask_nano for a in offered(rows)), default=0)
    needed = max(cheapest, least_price(rows))
    for b in rows.bids:
        if miss := clearing.unmatched.get(b.order_id):
            below = bool(offered(rows) and b.limit_nano < needed)
            assert (miss.reason is Unmatched.LIMIT_BELOW_MARKET) == below
            assert (miss.reason is Unmatched.NO_CAPACITY) == (not offered(rows))
            assert miss.reason is Unmatched.OUTBID or below or not offered(rows)


@given(any_books)
def test_only_who_lost_to_somebody_else_is_told_that_they_were_outbid(rows: Rows) -> None:
    clearing = rows.clear()
    for b in rows.bids:
        miss = clearing.unmatched.get(b.order_id)
        if miss and miss.reason is Unmatched.OUTBID:
            assert any(rows.bid_of(fill).limit_nano >= b.limit_nano for fill in clearing.fills)


@given(any_books)
def test_who_got_nothing_is_told_a_price_above_their_limit_and_nothing_that_is_sealed(rows: Rows) -> None:
    clearing = rows.clear()
    for b in rows.bids:
        if (miss := clearing.unmatched.get(b.order_id)) and miss.limit_nano is not None:
            known = {clearing.price_nano, rows.spot_nano, b.limit_nano, b.limit_nano + 1}
            assert miss.limit_nano in known
            assert miss.limit_nano >= b.limit_nano + (miss.reason is Unmatched.LIMIT_BELOW_MARKET)


@given(any_books)
def test_only_a_price_could_have_helped_who_got_nothing_of_alike_slots(rows: Rows) -> None:
    for miss in rows.clear().unmatched.values():
        assert (miss.limit_nano is None) == (miss.reason is Unmatched.NO_CAPACITY)
        assert miss.shortfalls == ()


def test_two_buyers_and_two_sellers_trade_in_the_middle_of_the_marginal_pair() -> None:
    rows = singles([9, 8], [4, 3])
    clearing = rows.clear()
    assert [(rows.bid_of(f).limit_nano, rows.ask_of(f).ask_nano) for f in clearing.fills] == [(9, 3), (8, 4)]
    assert clearing.price_nano == 6


def test_an_order_of_several_slots_takes_what_there_is_from_several_offers() -> None:
    rows = market([bid(1, 9, slots=5), bid(2, 2)], [ask(1, 3, slots=2), ask(2, 4, slots=1)])
    clearing = rows.clear()
    assert [(rows.ask_of(fill).ask_nano, fill.slots) for fill in clearing.fills] == [(3, 2), (4, 1)]
    assert [(order, miss.reason) for order, miss in clearing.unmatched.items()] == [
        (bid(2, 2).order_id, Unmatched.LIMIT_BELOW_MARKET)
    ]


def test_a_mechanism_that_does_not_exist_is_refused_with_those_that_do() -> None:
    error = refusal(lambda: market().clear("lottery"))
    assert isinstance(error, Invalid)
    assert (error.code, error.field, error.accepted) == ("invalid_mechanism", "mechanism", "uniform, mcafee")


@pytest.mark.parametrize("mechanism", ["uniform", "mcafee"])
@pytest.mark.parametrize("rows", [market(), market([], [ask(1, 1), ask(2, 2)], SPOT)])
def test_a_book_without_orders_clears_to_nothing(rows: Rows, mechanism: str) -> None:
    clearing = rows.clear(mechanism)
    assert (clearing.price_nano, clearing.fills, clearing.unmatched) == (None, (), {})
