"""Orders that need more of a node than a slot: no price buys a node that lacks it, and no better assignment exists."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.auctions import Unmatched
from backend.domain.ids import ModelId
from backend.domain.machines import Machine, Needs
from backend.domain.orders import Strategy
from backend.domain.placement import Shortfall, suits
from tests.unit.domain.books import (
    SPOT,
    Rows,
    ask,
    best_welfare,
    bid,
    check_fills,
    got,
    is_thin,
    machine_of,
    market,
    offered,
    sold,
    surplus,
    volume,
    welfare,
)
from tests.unit.domain.needy_books import cheap_books, dedicated, needy_books

MANY = settings(max_examples=100)
GPU = Needs(gpu_model="a100")
MODEL = ModelId(UUID(int=9))


def machine(number: int, slots: int = 1, **attributes: object) -> Machine:
    """The machine behind the offer of that number."""
    return replace(Machine(ask(number, 1).node_id, slots), **attributes)  # type: ignore[arg-type]  # any field


@MANY
@given(needy_books)
def test_nobody_loses_no_need_is_broken_and_everybody_is_served_or_told_why_not(rows: Rows) -> None:
    clearing = rows.clear()
    check_fills(rows, clearing)
    assert surplus(clearing) == 0


@MANY
@given(needy_books)
def test_each_pays_the_markets_price_clipped_to_what_both_sides_agreed_to(rows: Rows) -> None:
    clearing = rows.clear()
    for fill in clearing.fills:
        assert clearing.price_nano is not None
        low, high = rows.ask_of(fill).ask_nano, rows.bid_of(fill).limit_nano
        assert fill.pays_nano == fill.earns_nano == min(max(clearing.price_nano, low), high)


@MANY
@given(needy_books)
def test_a_dedicated_order_has_its_nodes_whole_and_alone(rows: Rows) -> None:
    clearing = rows.clear()
    taken = sold(clearing)
    alone = {order.order_id for order in dedicated(rows)}
    for fill in clearing.fills:
        if fill.order_id in alone:
            offer = rows.ask_of(fill)
            assert fill.slots == taken[offer.offer_id] == offer.slots == machine_of(offer).slots


@MANY
@given(needy_books)
def test_a_spread_order_has_one_slot_of_a_node_at_most(rows: Rows) -> None:
    for fill in rows.clear().fills:
        order = rows.bid_of(fill)
        assert fill.slots == 1 or order.needs.dedicated or not order.needs.spread


@MANY
@given(needy_books, st.integers(0, 12), st.integers(0, 12))
def test_reserved_shares_break_no_need_either(rows: Rows, first: int, second: int) -> None:
    shared = replace(rows, reserved={0: first, 1: second})
    clearing = shared.clear()
    check_fills(shared, clearing)
    for fill in clearing.fills:
        order = shared.bid_of(fill)
        assert fill.slots == 1 or order.needs.dedicated or not order.needs.spread


@MANY
@given(cheap_books)
def test_no_other_assignment_to_nodes_that_suit_gains_more(rows: Rows) -> None:
    assert welfare(rows, rows.clear()) == best_welfare(rows)


@given(needy_books, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_listed_does_not_matter(rows: Rows, random: Random) -> None:
    assert rows.shuffled(random).clear() == rows.clear()


@given(needy_books)
def test_the_same_book_clears_the_same_whatever_the_seed(rows: Rows) -> None:
    assert rows.clear(seed=1) == rows.clear(seed=2**128)


@MANY
@given(needy_books)
def test_needs_are_the_reason_exactly_where_no_node_with_free_slots_has_them(rows: Rows) -> None:
    for order in rows.bids:
        miss = rows.clear().unmatched.get(order.order_id)
        if miss and offered(rows) and not order.needs.dedicated:
            fits = any(suits(order.needs, machine_of(offer)) for offer in offered(rows))
            assert (miss.reason is Unmatched.NEEDS_UNMET) == (not fits)
            assert miss.reason is Unmatched.NEEDS_UNMET or miss.shortfalls == ()


def test_what_would_have_matched_is_told_with_the_best_that_there_is() -> None:
    rows = market(
        [bid(1, 9, needs=Needs(gpu_memory_mb=81_920)), bid(2, 8)],
        [ask(1, 3, machine=machine(1, gpu_memory_mb=24_576)), ask(2, 4, machine=machine(2))],
    )
    miss = rows.clear().unmatched[rows.bids[0].order_id]
    assert miss.reason is Unmatched.NEEDS_UNMET
    assert miss.shortfalls == (Shortfall("gpu_memory_mb", "81920", "24576"),)


@pytest.mark.parametrize("mechanism", ["uniform", "mcafee"])
def test_who_bids_most_gets_nothing_of_a_node_that_lacks_what_is_needed(mechanism: str) -> None:
    rows = market([bid(1, 1_000, needs=GPU), bid(2, 8), bid(3, 7)], [ask(1, 3), ask(2, 4), ask(3, 5)])
    clearing = rows.clear(mechanism)
    assert rows.bids[0].order_id not in got(clearing)
    assert clearing.unmatched[rows.bids[0].order_id].reason is Unmatched.NEEDS_UNMET
    assert volume(clearing) > 0


def test_an_order_that_fits_anywhere_makes_room_for_one_that_fits_only_there() -> None:
    rows = market(
        [bid(1, 20, needs=Needs(cores=1)), bid(2, 10, needs=GPU)],
        [ask(1, 1, machine=machine(1, gpu_model="a100")), ask(2, 5, machine=machine(2))],
    )
    clearing = rows.clear()
    assert {(f.order_id.int, f.offer_id.int) for f in clearing.fills} == {(1, 2), (2, 1)}


def test_the_model_on_a_node_decides_between_equal_prices_and_not_against_cheaper_ones() -> None:
    held = machine(2, models=frozenset([MODEL]))
    rows = market([bid(1, 100, needs=Needs(cores=1)), bid(2, 1)], [ask(1, 50), ask(2, 50, machine=held)])
    wants = rows.with_bid(0, model_id=MODEL)
    assert [f.offer_id.int for f in wants.clear().fills] == [2]
    assert [f.offer_id.int for f in wants.with_ask(0, ask_nano=40).clear().fills] == [1]


def test_strategies_differ_in_what_they_pay_for_a_near_node() -> None:
    near, far = machine(1, latency_ms=1), machine(2, latency_ms=900)
    rows = market([bid(1, 100, needs=Needs(cores=1)), bid(2, 1)], [ask(1, 51, machine=near), ask(2, 50, machine=far)])
    chosen = {s: [f.offer_id.int for f in rows.with_bid(0, strategy=s).clear().fills] for s in Strategy}
    assert chosen[Strategy.LATENCY] == [1]
    assert chosen[Strategy.COST] == [2]


def test_a_dedicated_order_gets_no_node_on_which_somebody_is_or_that_is_larger_than_it() -> None:
    whole = Needs(dedicated=True)
    rows = market(
        [bid(1, 20, slots=2, needs=whole), bid(2, 10)],
        [
            ask(1, 1, slots=1, machine=machine(1, slots=2, busy_slots=1)),
            ask(2, 2, slots=3, machine=machine(2, slots=3)),
            ask(3, 3, slots=2, machine=machine(3, slots=2)),
        ],
    )
    clearing = rows.clear()
    assert {(f.order_id.int, f.offer_id.int, f.slots) for f in clearing.fills} == {(1, 3, 2), (2, 1, 1)}


def test_a_dedicated_order_gets_no_node_of_which_only_a_part_is_offered() -> None:
    rows = market(
        [bid(1, 20, needs=Needs(dedicated=True)), bid(2, 10)],
        [ask(1, 1, machine=machine(1, slots=2)), ask(2, 3), ask(3, 4)],
    )
    assert {(f.order_id.int, f.offer_id.int) for f in rows.clear().fills} == {(1, 2), (2, 1)}


def test_dedicated_orders_are_served_in_line_not_by_price() -> None:
    whole = Needs(dedicated=True)
    rows = market([bid(1, 10, minute=1, needs=whole), bid(2, 9, needs=whole)], [ask(1, 3), ask(2, 8, slots=2)])
    clearing = rows.clear()
    assert [f.order_id.int for f in clearing.fills] == [2]
    assert clearing.unmatched[rows.bids[0].order_id].reason is Unmatched.OUTBID


@pytest.mark.parametrize(("price", "paid"), [(SPOT - 1, SPOT), (SPOT + 3, SPOT + 3), (2 * SPOT, None)])
def test_in_a_thin_market_needs_hold_too_and_asks_of_nodes_that_lack_them_set_no_price(
    price: int, paid: int | None
) -> None:
    able = ask(2, price, machine=machine(2, gpu_model="a100"))
    rows = market([bid(1, 9, slots=2, needs=GPU)], [ask(1, 3), able, ask(3, 9)])
    assert [(f.offer_id.int, f.pays_nano) for f in rows.clear().fills] == ([(2, paid)] if paid else [])
    assert rows.clear().price_nano == paid


@MANY
@given(needy_books)
def test_in_a_thin_market_all_pay_the_spot_price_or_the_highest_ask_that_trades(rows: Rows) -> None:
    clearing = rows.clear()
    if is_thin(rows) and clearing.fills:
        price = max(rows.spot_nano, *(rows.ask_of(fill).ask_nano for fill in clearing.fills))
        assert {fill.pays_nano for fill in clearing.fills} == {clearing.price_nano} == {price}


@MANY
@given(needy_books)
def test_the_uniform_auction_always_finds_a_price(rows: Rows) -> None:
    assert Unmatched.NO_PRICE not in {miss.reason for miss in rows.clear().unmatched.values()}


def test_whole_nodes_that_are_all_larger_than_the_order_are_the_reason_and_not_a_price() -> None:
    rows = market([bid(1, 90, needs=Needs(dedicated=True)), bid(2, 8)], [ask(1, 3, slots=2), ask(2, 4, slots=2)])
    miss = rows.clear().unmatched[rows.bids[0].order_id]
    assert miss.reason is Unmatched.NEEDS_UNMET
    assert [short.need for short in miss.shortfalls] == ["dedicated"]


def test_whole_nodes_of_which_a_part_is_not_offered_are_no_capacity_for_who_wants_them_so() -> None:
    rows = market([bid(1, 90, needs=Needs(dedicated=True))], [ask(1, 3, machine=machine(1, slots=2))])
    assert rows.clear().unmatched[rows.bids[0].order_id].reason is Unmatched.NO_CAPACITY


def test_a_cheap_node_that_is_too_large_to_be_had_whole_does_not_hide_that_the_limit_is_too_low_for_others() -> None:
    rows = market([bid(1, 9, slots=2, needs=Needs(dedicated=True))], [ask(1, 3, slots=3), ask(2, 10, slots=2)])
    miss = rows.clear().unmatched[rows.bids[0].order_id]
    assert (miss.reason, miss.limit_nano) == (Unmatched.LIMIT_BELOW_MARKET, 10)


def test_one_low_bid_does_not_shrink_what_others_pay_for_what_they_like() -> None:
    held = machine(2, models=frozenset([MODEL]))
    rows = market(
        [bid(1, 100, needs=Needs(cores=1)), bid(2, 40, needs=Needs(cores=1))], [ask(1, 50), ask(2, 52, machine=held)]
    )
    wants = rows.with_bid(0, model_id=MODEL).with_bid(1, model_id=MODEL)
    assert [f.offer_id.int for f in wants.clear().fills] == [2]
