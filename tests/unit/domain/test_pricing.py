"""The spot price: its bounds in one epoch, and where many epochs lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.money import PPM, round_up
from backend.domain.pricing import (
    CAP_NANO,
    FLOOR_NANO,
    OPENING_NANO,
    STEP_MAX_PPM,
    TARGET_UTILISATION_PPM,
    Market,
    Supply,
    next_spot,
)

EPOCHS = 250  # enough to climb from the floor to the cap by an eighth an epoch
SLOTS = 1_000

spots = st.integers(FLOOR_NANO, CAP_NANO)
asks = st.none() | st.integers(1, 2 * CAP_NANO)


@st.composite
def supplies(draw: st.DrawFn) -> Supply:
    """Supply of living nodes; more may be leased than lives, after a node was lost."""
    slots = draw(st.integers(1, 10_000))
    return Supply(slots, draw(st.integers(0, slots + 10)), draw(asks))


def at_target(ask: int | None = None) -> Supply:
    """A market that is as busy as it should be."""
    return Supply(SLOTS, SLOTS * TARGET_UTILISATION_PPM // PPM, ask)


@given(spots, supplies())
def test_a_price_moves_by_an_eighth_at_most_and_stays_between_floor_and_cap(spot: int, supply: Supply) -> None:
    following = next_spot(spot, supply)
    assert spot * (PPM - STEP_MAX_PPM) <= following * PPM <= spot * (PPM + STEP_MAX_PPM)
    assert FLOOR_NANO <= following <= CAP_NANO


@given(st.integers(1, FLOOR_NANO - 1) | st.integers(CAP_NANO + 1, 10 * CAP_NANO), supplies())
def test_a_price_that_was_out_of_bounds_is_brought_back(spot: int, supply: Supply) -> None:
    assert FLOOR_NANO <= next_spot(spot, supply) <= CAP_NANO


@given(spots, supplies())
def test_the_price_rises_above_the_target_and_falls_below_it(spot: int, supply: Supply) -> None:
    following = next_spot(spot, supply)
    if supply.utilisation_ppm >= TARGET_UTILISATION_PPM:
        assert following >= spot
    elif (supply.lowest_ask_nano or 0) <= following:
        assert following <= spot


@given(spots, supplies(), st.integers(1, 100))
def test_a_busier_market_is_never_cheaper(spot: int, supply: Supply, more: int) -> None:
    busier = Supply(supply.slots, supply.busy_slots + more, supply.lowest_ask_nano)
    assert next_spot(spot, busier) >= next_spot(spot, supply)


@given(st.integers(10 * FLOOR_NANO, CAP_NANO // 10))
def test_a_full_market_rises_and_an_idle_one_falls_by_the_whole_step(spot: int) -> None:
    assert next_spot(spot, Supply(SLOTS, SLOTS, None)) == spot * (PPM + STEP_MAX_PPM) // PPM
    assert next_spot(spot, Supply(SLOTS, 0, None)) == round_up(spot * (PPM - STEP_MAX_PPM), PPM)


@given(spots)
def test_at_the_target_the_price_stays(spot: int) -> None:
    assert next_spot(spot, at_target()) == spot


@given(spots)
def test_a_market_without_a_living_node_keeps_its_price(spot: int) -> None:
    """There is nothing to learn from: a price that fell meanwhile would trade nowhere once the nodes are back."""
    assert next_spot(spot, Supply(slots=0, busy_slots=0, lowest_ask_nano=None)) == spot


@given(asks, st.integers(0, 10), st.integers(0, 10))
def test_a_first_price_is_the_lowest_ask_or_the_opening_price_whatever_is_leased(
    ask: int | None, slots: int, busy: int
) -> None:
    expected = OPENING_NANO if ask is None else min(max(ask, FLOOR_NANO), CAP_NANO)
    assert next_spot(None, Supply(slots, busy, ask)) == expected


@given(spots, supplies())
def test_a_price_at_or_above_the_lowest_ask_never_falls_below_it(above: int, supply: Supply) -> None:
    ask = min(supply.lowest_ask_nano or 0, CAP_NANO)
    assert next_spot(max(above, ask), supply) >= ask


@given(spots, st.integers(FLOOR_NANO, CAP_NANO))
def test_a_price_below_the_lowest_ask_reaches_it_even_when_nothing_is_leased(spot: int, ask: int) -> None:
    for _ in range(EPOCHS):
        spot = next_spot(spot, Supply(SLOTS, 0, ask))
    assert spot == ask


class Buyers:
    """Demand of constant elasticity for a market of SLOTS slots: ten times the price, 10^elasticity fewer slots."""

    def __init__(self, fair_price: int, elasticity: float) -> None:
        self.fair_price = fair_price  # at which the target share of the slots is wanted
        self.elasticity = elasticity

    def supply_at(self, spot: int, surge: float = 1) -> Supply:
        """How busy the market is when it costs `spot`."""
        wanted = surge * SLOTS * TARGET_UTILISATION_PPM / PPM * (self.fair_price / spot) ** self.elasticity
        return Supply(SLOTS, min(SLOTS, round(wanted)), None)

    def settle(self, spot: int, surge: float = 1) -> int:
        """The price after EPOCHS epochs; fails the test if it does not come to rest."""
        for _ in range(EPOCHS):
            spot = next_spot(spot, self.supply_at(spot, surge))
        for _ in range(10):
            following = next_spot(spot, self.supply_at(spot, surge))
            assert following == pytest.approx(spot, rel=0.005)
            spot = following
        return spot


elasticities = st.floats(0.5, 3)
fair_prices = st.integers(10**5, 10**9)


@given(fair_prices, elasticities, st.floats(0.01, 100))
def test_the_price_settles_where_demand_meets_the_target(fair_price: int, elasticity: float, off: float) -> None:
    settled = Buyers(fair_price, elasticity).settle(round(fair_price * off))
    assert settled == pytest.approx(fair_price, rel=0.02)


@given(fair_prices, elasticities)
def test_the_price_follows_a_tenfold_surge_and_comes_back_after_it(fair_price: int, elasticity: float) -> None:
    buyers = Buyers(fair_price, elasticity)
    surged = buyers.settle(fair_price, surge=10)
    assert surged == pytest.approx(fair_price * 10 ** (1 / elasticity), rel=0.02)
    assert buyers.settle(surged) == pytest.approx(fair_price, rel=0.02)


@given(st.sampled_from(["mobile", "fog", "cloud", "dedicated"]), st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True))
def test_a_market_can_be_named_and_found_again(resource_class: str, region: str) -> None:
    market = Market(resource_class, region)
    assert str(market) == f"{resource_class}/{region}"
    assert Market.parse(str(market)) == market


def test_an_empty_market_is_not_used_and_a_full_one_fully() -> None:
    assert Supply(0, 0, None).utilisation_ppm == 0
    assert Supply(3, 1, None).utilisation_ppm == 333_333
    assert Supply(3, 3, None).utilisation_ppm == PPM
