"""Reserved shares: when there are too few slots, each tier goes first for its own, and lends what it does not want."""

from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.auctions import AGED, Clearing, Unmatched
from backend.domain.machines import Needs
from tests.unit.domain.books import (
    OPENED_AT,
    Rows,
    any_books,
    ask,
    best_volume,
    bid,
    books,
    check_fills,
    got,
    least_price,
    market,
    offered,
    surplus,
    volume,
)

TIERS = range(4)
shares = st.dictionaries(st.sampled_from(TIERS), st.integers(0, 12))
MANY = settings(max_examples=100)


def with_asks_below_all_limits(rows: Rows) -> Rows:
    """The market after its buyers became rich, so that every slot could go to everybody."""
    rich = tuple(replace(b, limit_nano=b.limit_nano + 100) for b in rows.bids)
    return replace(rows, bids=rich, spot_nano=100)


def by_tier(rows: Rows, clearing: Clearing) -> dict[int, int]:
    """Slots that each tier got."""
    bought = got(clearing)
    return {tier: sum(bought[b.order_id] for b in rows.bids if b.tier == tier) for tier in TIERS}


def demand(rows: Rows, tier: int) -> int:
    """Slots that a tier wants."""
    return sum(b.slots for b in rows.bids if b.tier == tier)


@MANY
@given(any_books, shares)
def test_nobody_loses_no_slot_is_sold_twice_and_everybody_is_served_or_told_why_not(
    rows: Rows, reserved: dict[int, int]
) -> None:
    clearing = replace(rows, reserved=reserved).clear()
    check_fills(rows, clearing)
    assert surplus(clearing) == 0


@MANY
@given(any_books, shares)
def test_each_pays_the_markets_price_clipped_to_what_both_sides_agreed_to(rows: Rows, reserved: dict[int, int]) -> None:
    clearing = replace(rows, reserved=reserved).clear()
    for fill in clearing.fills:
        assert clearing.price_nano is not None
        low, high = rows.ask_of(fill).ask_nano, rows.bid_of(fill).limit_nano
        assert fill.pays_nano == min(max(clearing.price_nano, low), high)


@MANY
@given(any_books, shares)
def test_the_price_is_that_of_the_market_without_reserved_shares(rows: Rows, reserved: dict[int, int]) -> None:
    assert replace(rows, reserved=reserved).clear().price_nano == rows.clear().price_nano


@MANY
@given(books(most=10, price_max=12, slots_max=5), shares)
def test_a_tier_with_enough_demand_gets_its_reserved_slots_and_one_with_less_lends_the_rest(
    rows: Rows, reserved: dict[int, int]
) -> None:
    rich = with_asks_below_all_limits(rows)
    supply = sum(a.slots for a in rich.asks)
    if sum(min(slots, demand(rich, tier)) for tier, slots in reserved.items()) > supply:
        return
    clearing = replace(rich, reserved=reserved).clear()
    bought = by_tier(rich, clearing)
    for tier, slots in reserved.items():
        assert bought[tier] >= min(slots, demand(rich, tier))
    assert volume(clearing) == min(supply, sum(b.slots for b in rich.bids))


def is_contested(rows: Rows) -> bool:
    """Whether some who could pay for a slot must go without, however slots are handed out."""
    asks = offered(rows)
    cheapest = min((a.ask_nano for a in asks), default=0)
    bids = [b for b in rows.bids if b.limit_nano >= max(cheapest, least_price(rows))]
    return any(
        sum(b.slots for b in bids if b.limit_nano <= limit) > sum(a.slots for a in asks if a.ask_nano <= limit)
        for limit in {b.limit_nano for b in bids}
    )


@MANY
@given(any_books | books(most=8, price_max=12, slots_max=3), shares)
def test_nobody_beyond_their_share_has_a_slot_that_a_tier_short_of_its_own_could_pay_for(
    rows: Rows, reserved: dict[int, int]
) -> None:
    clearing = replace(rows, reserved=reserved).clear()
    if not is_contested(rows):
        return
    bought, tiers = got(clearing), by_tier(rows, clearing)
    asks = {tier: [rows.ask_of(f).ask_nano for f in clearing.fills if rows.bid_of(f).tier == tier] for tier in TIERS}
    beyond = [t for t in TIERS if tiers[t] > reserved.get(t, 0)]
    for b in rows.bids:
        if tiers[b.tier] < reserved.get(b.tier, 0) and bought[b.order_id] < b.slots:
            assert all(b.limit_nano < max(*asks[tier], least_price(rows)) for tier in beyond)


@MANY
@given(any_books, shares)
def test_no_reserved_slot_is_held_back_from_those_who_can_pay_for_it(rows: Rows, reserved: dict[int, int]) -> None:
    clearing = replace(rows, reserved=reserved).clear()
    left = {a.offer_id: a.slots for a in offered(rows)}
    for fill in clearing.fills:
        left[fill.offer_id] -= fill.slots
    bought = got(clearing)
    for b in rows.bids:
        for a in offered(rows):
            if left[a.offer_id] and bought[b.order_id] < b.slots:
                assert b.limit_nano < max(a.ask_nano, least_price(rows))


@MANY
@given(any_books, shares)
def test_with_slots_for_all_reserved_shares_change_nothing(rows: Rows, reserved: dict[int, int]) -> None:
    if sum(b.slots for b in rows.bids) <= sum(a.slots for a in rows.asks if a.ask_nano <= 1):
        assert replace(rows, reserved=reserved).clear() == rows.clear()


@given(any_books, shares, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_listed_does_not_matter(
    rows: Rows, reserved: dict[int, int], random: Random
) -> None:
    shared = replace(rows, reserved=reserved)
    assert shared.shuffled(random).clear() == shared.clear()


@given(any_books)
def test_a_share_of_a_tier_that_wants_nothing_changes_nothing(rows: Rows) -> None:
    clearing = replace(rows, reserved={9: 1_000}).clear()
    assert got(clearing) == got(rows.clear())
    assert volume(clearing) == best_volume(rows)


def test_the_worst_bid_of_a_tier_goes_before_the_best_of_others_for_what_is_reserved() -> None:
    rows = market([bid(1, 9), bid(2, 8), bid(3, 4, tier=1)], [ask(1, 3), ask(2, 3)])
    assert {order.int for order in got(rows.clear())} == {1, 2}
    clearing = replace(rows, reserved={1: 1}).clear()
    assert {order.int for order in got(clearing)} == {1, 3}
    assert {f.order_id.int: f.pays_nano for f in clearing.fills} == {1: 5, 3: 4}
    assert clearing.unmatched[rows.bids[1].order_id].reason is Unmatched.OUTBID


def test_a_tier_may_have_more_than_its_reserved_slots_by_price() -> None:
    rows = market([bid(1, 9, slots=3, tier=1), bid(2, 8, slots=3)], [ask(1, 3, slots=2), ask(2, 3, slots=2)])
    assert by_tier(rows, replace(rows, reserved={1: 1}).clear()) == {0: 1, 1: 3, 2: 0, 3: 0}
    assert by_tier(rows, replace(rows, reserved={0: 2, 1: 1}).clear()) == {0: 2, 1: 2, 2: 0, 3: 0}


def test_reserved_slots_go_down_the_line_age_first_then_least_share_then_time() -> None:
    rows = market(
        [bid(1, 9, slots=4), bid(2, 4, tier=1), bid(3, 5, tier=1, minute=1), bid(4, 4, tier=1, minute=2)],
        [ask(1, 3, slots=1), ask(2, 3, slots=1)],
    )
    shared = replace(rows, reserved={1: 1})
    assert {o.int for o in got(shared.clear())} == {1, 2}
    richer = shared.with_bid(1, share_ppm=500_000).with_bid(2, share_ppm=400_000)
    assert {o.int for o in got(richer.clear())} == {1, 4}
    aged = replace(richer, at=OPENED_AT + AGED)
    assert {o.int for o in got(aged.clear())} == {1, 2}
    assert {o.int for o in got(replace(aged, at=aged.at and aged.at - timedelta(microseconds=1)).clear())} == {1, 4}


def test_whoever_has_much_and_bids_little_waits_no_longer_than_it_takes_to_age() -> None:
    waited = timedelta()
    while waited < 2 * AGED:
        now = OPENED_AT + waited
        young = [replace(bid(number, 9, tier=1), placed_at=now) for number in (2, 3)]
        rows = market([replace(bid(1, 4, tier=1), share_ppm=900_000), *young], [ask(1, 3), ask(2, 90)])
        if rows.bids[0].order_id in got(replace(rows, at=now, reserved={1: 1}).clear()):
            break
        waited += timedelta(seconds=5)
    assert waited == AGED


def test_who_is_first_in_line_and_bids_too_little_does_not_hold_up_their_tier() -> None:
    rows = market([bid(1, 9, slots=4), bid(2, 1, tier=1), bid(3, 5, tier=1, minute=1)], [ask(1, 3), ask(2, 3)])
    assert {o.int for o in got(replace(rows, reserved={1: 1}).clear())} == {1, 3}


def test_who_is_first_in_line_and_needs_what_no_node_has_does_not_hold_up_their_tier() -> None:
    gpu = Needs(gpu_model="a100")
    rows = market(
        [bid(1, 9, slots=4), bid(2, 8, tier=1, needs=gpu), bid(3, 5, tier=1, minute=1)], [ask(1, 3), ask(2, 3)]
    )
    assert {o.int for o in got(replace(rows, reserved={1: 1}).clear())} == {1, 3}


def test_bids_below_every_ask_do_not_make_slots_scarce() -> None:
    rows = market([bid(1, 10), bid(2, 4, tier=1)], [ask(1, 3), ask(2, 9)])
    assert {o.int for o in got(replace(rows, reserved={1: 1}).clear())} == {1}
    crowd = replace(rows, bids=(*rows.bids, bid(3, 1, slots=10)), reserved={1: 1})
    assert {o.int for o in got(crowd.clear())} == {1}


def test_slots_that_hardly_anybody_can_pay_for_do_not_make_plenty() -> None:
    rows = market(
        [bid(1, 1_000), bid(2, 9, slots=5), bid(3, 5, slots=2, tier=1)],
        [ask(1, 3, slots=2), ask(2, 900, slots=100)],
    )
    assert by_tier(rows, rows.clear())[1] == 0
    assert by_tier(rows, replace(rows, reserved={1: 2}).clear()) == {0: 1, 1: 2, 2: 0, 3: 0}


def test_a_tiers_line_moves_up_as_often_as_its_reserved_slots_need() -> None:
    gpu, huge = Needs(gpu_model="a100"), Needs(cores=64)
    rows = market(
        [
            bid(1, 9, slots=9),
            bid(2, 8, tier=1, needs=gpu),
            bid(3, 5, tier=1, minute=1),
            bid(4, 8, tier=1, minute=2, needs=huge),
            bid(5, 5, tier=1, minute=3),
            bid(6, 5, tier=1, minute=4),
        ],
        [ask(1, 3), ask(2, 3, slots=2)],
    )
    assert set(got(replace(rows, reserved={1: 2}).clear())) == {rows.bids[place].order_id for place in (0, 2, 4)}


def test_who_loses_the_cheap_slot_to_their_own_tier_lends_the_dear_one_to_the_next_in_line() -> None:
    rows = market(
        [bid(1, 99, slots=9), bid(2, 10, tier=1), bid(3, 4, tier=1, minute=1), bid(4, 10, tier=1, minute=2)],
        [ask(1, 3), ask(2, 9)],
    )
    assert set(got(replace(rows, reserved={1: 2}).clear())) == {rows.bids[1].order_id, rows.bids[3].order_id}


def test_a_spread_order_gets_one_slot_of_a_node_from_both_shares_together() -> None:
    spread = Needs(spread=True)
    rows = market([bid(1, 9, slots=2, needs=spread), bid(2, 8, slots=9)], [ask(1, 3, slots=3), ask(2, 30)])
    clearing = replace(rows, reserved={0: 1}).clear()
    assert got(clearing)[rows.bids[0].order_id] == 1
