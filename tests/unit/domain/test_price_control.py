"""Price control: what moves a price and says so, and where it leads a market whose demand answers to it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.money import PPM
from backend.domain.pricing import (
    CAP_NANO,
    FLOOR_NANO,
    OPENING_NANO,
    STEP_MAX_PPM,
    TARGET_UTILISATION_PPM,
    Cause,
    Control,
    Move,
    Supply,
    next_move,
)

SLOTS = 10_000
FAIR_NANO = 5_000_000  # at which the buyers below take the target share of the slots
SURGE = 10
RECOVERED_WITHIN = 60  # epochs after a tenfold surge began or ended: five minutes, of which its price needs 18 to rise
RECOVERED_WITHIN_STIFF = 120  # when only a hundredfold price keeps nine of ten buyers away
SETTLED_WITHIN_PPM = 20_000  # how near to its target a market counts as settled
EPOCHS = 250

CONTROL = Control(floor_nano=1_000, cap_nano=10**9, target_ppm=700_000)

spots = st.integers(FLOOR_NANO, CAP_NANO)
targets = st.integers(1, PPM - 1)


@st.composite
def controls(draw: st.DrawFn) -> Control:
    """Bounds and a target as an admin may set them."""
    floor, cap = sorted(draw(st.tuples(st.integers(8, CAP_NANO), st.integers(8, CAP_NANO))))
    return Control(floor, cap, draw(targets))


@st.composite
def supplies(draw: st.DrawFn) -> Supply:
    """Any supply, also one whose nodes were lost under their leases."""
    slots = draw(st.integers(0, 10_000))
    ask = draw(st.none() | st.integers(1, 2 * CAP_NANO))
    return Supply(slots, draw(st.integers(0, slots + 10)), ask, draw(st.integers(0, 20_000)))


class Buyers:
    """Demand of constant elasticity: at ten times the price, 10^elasticity times fewer slots are wanted."""

    def __init__(self, control: Control, elasticity: float = 1.0, ask_nano: int | None = None) -> None:
        self.control = control
        self.elasticity = elasticity
        self.ask_nano = ask_nano
        self.moves: list[Move] = []

    def supply_at(self, spot_nano: int, surge: float = 1) -> Supply:
        """The market at that price: who finds no slot waits for one."""
        wanted = surge * SLOTS * self.control.target_ppm / PPM * (FAIR_NANO / spot_nano) ** self.elasticity
        busy = min(SLOTS, round(wanted))
        return Supply(SLOTS, busy, self.ask_nano, round(wanted) - busy)

    def run(self, spot_nano: int, epochs: int, surge: float = 1) -> int:
        """The price after some epochs."""
        for _ in range(epochs):
            self.moves.append(next_move(spot_nano, self.supply_at(spot_nano, surge), self.control))
            spot_nano = self.moves[-1].spot_nano
        return spot_nano

    def off_target_ppm(self, spot_nano: int, surge: float = 1) -> int:
        """How far from its target the market is at that price."""
        return abs(self.supply_at(spot_nano, surge).utilisation_ppm - self.control.target_ppm)


elasticities = st.floats(0.5, 3)


@given(st.sampled_from([300_000, 500_000, 700_000, 900_000]), elasticities, st.floats(0.01, 100))
def test_a_market_settles_at_the_utilisation_that_it_is_told_to_seek(
    target_ppm: int, elasticity: float, off: float
) -> None:
    buyers = Buyers(Control(1_000, 10**12, target_ppm), elasticity)
    settled = buyers.run(round(FAIR_NANO * off), EPOCHS)
    assert buyers.off_target_ppm(settled) <= SETTLED_WITHIN_PPM
    assert settled == pytest.approx(FAIR_NANO, rel=0.03)


@given(elasticities)
def test_a_market_recovers_from_a_tenfold_surge_and_from_its_end_within_sixty_epochs_or_twice_that_if_stiff(
    elasticity: float,
) -> None:
    within = RECOVERED_WITHIN if elasticity >= 1 else RECOVERED_WITHIN_STIFF
    buyers = Buyers(CONTROL, elasticity)
    surged = buyers.run(FAIR_NANO, within, SURGE)
    assert buyers.off_target_ppm(surged, SURGE) <= SETTLED_WITHIN_PPM
    calmed = buyers.run(surged, within)
    assert buyers.off_target_ppm(calmed) <= SETTLED_WITHIN_PPM


def test_a_surge_is_answered_by_the_whole_step_until_nobody_waits_any_more() -> None:
    buyers = Buyers(CONTROL)
    buyers.run(FAIR_NANO, RECOVERED_WITHIN, SURGE)
    causes = [move.cause for move in buyers.moves]
    waited = causes.count(Cause.DEMAND_UNMET)
    assert waited > 10
    assert set(causes[:waited]) == {Cause.DEMAND_UNMET}
    prices = [FAIR_NANO, *(move.spot_nano for move in buyers.moves[:waited])]
    for before, after in pairwise(prices):
        assert after == before * (PPM + STEP_MAX_PPM) // PPM


@given(controls(), st.data(), supplies())
def test_no_epoch_moves_a_price_by_more_than_its_bound_or_out_of_floor_and_cap(
    control: Control, data: st.DataObject, supply: Supply
) -> None:
    spot = data.draw(st.integers(control.floor_nano, control.cap_nano))
    moved = next_move(spot, supply, control).spot_nano
    assert abs(moved - spot) * PPM <= spot * STEP_MAX_PPM
    assert control.floor_nano <= moved <= control.cap_nano


@given(controls(), st.none() | st.integers(1, 10 * CAP_NANO), supplies())
def test_new_bounds_hold_from_the_next_epoch_on_wherever_the_price_was(
    control: Control, spot: int | None, supply: Supply
) -> None:
    assert control.floor_nano <= next_move(spot, supply, control).spot_nano <= control.cap_nano


@given(st.floats(0.5, 3), st.integers(2, 50))
def test_a_price_stays_at_its_cap_when_demand_is_worth_more_and_at_its_floor_when_less(
    elasticity: float, times: int
) -> None:
    capped = Buyers(Control(FAIR_NANO // 100, FAIR_NANO // times, 700_000), elasticity)
    assert capped.run(FAIR_NANO // 100, EPOCHS) == FAIR_NANO // times
    assert capped.moves[-1].cause is Cause.AT_CAP
    floored = Buyers(Control(FAIR_NANO * times, FAIR_NANO * 100, 700_000), elasticity)
    assert floored.run(FAIR_NANO * 100, EPOCHS) == FAIR_NANO * times
    assert floored.moves[-1].cause is Cause.AT_FLOOR


@given(spots, st.integers(1, SLOTS), st.integers(1, 10**6), targets)
def test_orders_that_would_wait_with_every_slot_busy_raise_the_price_by_the_whole_step(
    spot: int, free: int, more: int, target_ppm: int
) -> None:
    """However many slots happened to be free at the moment of looking."""
    control = Control(1, 10 * CAP_NANO, target_ppm)
    move = next_move(spot, Supply(SLOTS, SLOTS - free, None, free + more), control)
    assert move == Move(spot * (PPM + STEP_MAX_PPM) // PPM, Cause.DEMAND_UNMET)


@given(spots, st.integers(0, SLOTS), st.integers(0, SLOTS))
def test_a_waiting_order_counts_like_one_that_got_its_slot(spot: int, busy: int, waiting: int) -> None:
    waiting = min(waiting, SLOTS - busy)
    assert next_move(spot, Supply(SLOTS, busy, None, waiting)) == next_move(spot, Supply(SLOTS, busy + waiting, None))


AT_TARGET = SLOTS * TARGET_UTILISATION_PPM // PPM


@pytest.mark.parametrize(
    ("spot", "supply", "move"),
    [
        (None, Supply(4, 0, 3_000_000), Move(3_000_000, Cause.OPENED)),
        (None, Supply(4, 0, None), Move(OPENING_NANO, Cause.OPENED)),
        (None, Supply(0, 0, 1), Move(CONTROL.floor_nano, Cause.OPENED)),
        (8_000, Supply(0, 0, None, 50), Move(8_000, Cause.NO_NODES)),
        (8_000, Supply(SLOTS, AT_TARGET, None), Move(8_000, Cause.STEADY)),
        (8_000, Supply(SLOTS, SLOTS, None), Move(9_000, Cause.ABOVE_TARGET)),
        (8_000, Supply(SLOTS, SLOTS, None, 1), Move(9_000, Cause.DEMAND_UNMET)),
        (8_000, Supply(SLOTS, 0, None), Move(7_000, Cause.BELOW_TARGET)),
        (8_000, Supply(SLOTS, 0, 8_000), Move(8_000, Cause.HELD_AT_ASK)),
        (8_000, Supply(SLOTS, 0, 7_500), Move(7_500, Cause.BELOW_TARGET)),
        (8_000, Supply(SLOTS, 0, 8_500), Move(8_500, Cause.RAISED_TO_ASK)),
        (8_000, Supply(SLOTS, 0, 80_000), Move(9_000, Cause.RAISED_TO_ASK)),
        (8_000, Supply(SLOTS, SLOTS, 80_000), Move(9_000, Cause.ABOVE_TARGET)),
        (1_050, Supply(SLOTS, 0, None), Move(1_000, Cause.AT_FLOOR)),
        (10**9, Supply(SLOTS, SLOTS, None, 9), Move(10**9, Cause.AT_CAP)),
        (2 * 10**9, Supply(0, 0, None), Move(10**9, Cause.NO_NODES)),
    ],
)
def test_a_price_says_what_moved_it(spot: int | None, supply: Supply, move: Move) -> None:
    assert next_move(spot, supply, CONTROL) == move


@given(controls(), st.data(), supplies())
def test_a_price_that_moved_is_never_told_as_held_nor_one_that_fell_as_rising(
    control: Control, data: st.DataObject, supply: Supply
) -> None:
    spot = data.draw(st.integers(control.floor_nano, control.cap_nano))
    move = next_move(spot, supply, control)
    if move.cause.told == "held":
        assert move.spot_nano == spot
    if move.cause.told in ("rising", Cause.ABOVE_TARGET):
        assert move.spot_nano > spot
    if move.cause is Cause.BELOW_TARGET:
        assert move.spot_nano < spot


def test_supply_tells_how_hard_it_is_pressed() -> None:
    assert (Supply(4, 2, None, 1).pressure_ppm, Supply(4, 2, None, 1).unmet) == (750_000, False)
    assert (Supply(4, 2, None, 2).pressure_ppm, Supply(4, 2, None, 2).unmet) == (PPM, False)
    assert (Supply(4, 2, None, 3).pressure_ppm, Supply(4, 2, None, 3).unmet) == (PPM, True)
    assert (Supply(4, 6, None, 0).pressure_ppm, Supply(4, 6, None, 0).unmet) == (1_500_000, False)
    assert Supply(0, 0, None, 3).pressure_ppm == 0


def test_everybody_may_hear_each_cause_but_that_a_price_is_an_ask() -> None:
    other = {cause: cause.told for cause in Cause if cause.told != cause}
    assert other == {Cause.HELD_AT_ASK: "held", Cause.RAISED_TO_ASK: "rising"}
