"""Which markets may serve an order, and in which order it tries them."""

from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import orders
from backend.domain.errors import Unavailable
from backend.domain.orders import MarketState, Strategy
from backend.domain.tiers import TIERS, ResourceClass, Tier, TierName
from tests.unit.domain.placements import market, market_lists
from tests.unit.domain.refusals import refusal

candidates = partial(orders.candidates, tiers=TIERS.values())
tiers = st.sampled_from(list(TIERS.values()))
strategies = st.sampled_from(Strategy)
regions = st.none() | st.sampled_from(["north", "south", "east"])
MEDIUM, LARGE, ENTERPRISE = TIERS[TierName.MEDIUM], TIERS[TierName.LARGE], TIERS[TierName.ENTERPRISE]


def served_by(tier: Tier, region: str | None, markets: list[MarketState]) -> list[MarketState]:
    """The markets of the tier's classes in the region, if one is asked for."""
    return [m for m in markets if m.market.resource_class in tier.classes and region in (None, m.market.region)]


@given(tiers, strategies, regions, market_lists())
def test_candidates_are_the_markets_of_the_tiers_classes_in_the_region_each_once(
    tier: Tier, strategy: Strategy, region: str | None, markets: list[MarketState]
) -> None:
    eligible = served_by(tier, region, markets)
    if eligible:
        found = candidates(tier, strategy, region, markets)
        assert sorted(found, key=lambda m: m.market) == sorted(eligible, key=lambda m: m.market)


@given(tiers, strategies, market_lists())
def test_markets_without_a_living_node_come_last(tier: Tier, strategy: Strategy, markets: list[MarketState]) -> None:
    if served_by(tier, None, markets):
        dead = [m.slots == 0 for m in candidates(tier, strategy, None, markets)]
        assert dead == sorted(dead)


@given(tiers, market_lists())
def test_cost_prefers_the_cheapest_market(tier: Tier, markets: list[MarketState]) -> None:
    living = [m for m in markets if m.slots]
    if served_by(tier, None, living):
        spots = [m.spot_nano for m in candidates(tier, Strategy.COST, None, living)]
        assert spots == sorted(spots)


@given(tiers, market_lists())
def test_latency_prefers_the_strongest_class_and_then_the_cheapest(tier: Tier, markets: list[MarketState]) -> None:
    living = [m for m in markets if m.slots]
    if served_by(tier, None, living):
        strength = {"mobile": 0, "fog": 1, "cloud": 2, "dedicated": 3}
        keys = [
            (-strength[m.market.resource_class], m.spot_nano) for m in candidates(tier, Strategy.LATENCY, None, living)
        ]
        assert keys == sorted(keys)


@given(tiers, market_lists())
def test_balanced_prefers_the_tiers_own_classes_in_their_order_and_then_the_cheapest(
    tier: Tier, markets: list[MarketState]
) -> None:
    living = [m for m in markets if m.slots]
    if served_by(tier, None, living):
        keys = [
            (tier.classes.index(ResourceClass(m.market.resource_class)), m.spot_nano)
            for m in candidates(tier, Strategy.BALANCED, None, living)
        ]
        assert keys == sorted(keys)


@given(tiers, strategies, market_lists(), st.randoms(use_true_random=False))
def test_the_order_in_which_markets_are_listed_does_not_matter(
    tier: Tier, strategy: Strategy, markets: list[MarketState], random: Random
) -> None:
    if served_by(tier, None, markets):
        shuffled = random.sample(markets, len(markets))
        assert candidates(tier, strategy, None, shuffled) == candidates(tier, strategy, None, markets)


@pytest.mark.parametrize(
    ("strategy", "classes"),
    [
        (Strategy.COST, ["cloud", "fog"]),
        (Strategy.BALANCED, ["fog", "cloud"]),
        (Strategy.LATENCY, ["cloud", "fog"]),
    ],
)
def test_tier_medium_goes_to_fog_first_unless_cloud_is_cheaper_or_faster(
    strategy: Strategy, classes: list[str]
) -> None:
    markets = [market(5, resource_class="fog"), market(4, resource_class="cloud"), market(1, resource_class="mobile")]
    assert [m.market.resource_class for m in candidates(MEDIUM, strategy, None, markets)] == classes


@given(tiers, strategies, regions, market_lists())
def test_without_a_market_the_answer_is_no_capacity_and_names_only_what_would_pass(
    tier: Tier, strategy: Strategy, region: str | None, markets: list[MarketState]
) -> None:
    if served_by(tier, region, markets):
        return
    error = refusal(lambda: candidates(tier, strategy, region, markets))
    assert isinstance(error, Unavailable)
    assert error.code == "no_capacity"
    assert error.accepted
    if error.accepted == "nothing until a provider joins":
        return
    for choice in error.accepted.split(", "):
        if error.field == "region":
            assert candidates(tier, strategy, choice, markets)
        else:
            assert candidates(TIERS[TierName(choice)], strategy, region, markets)


def test_a_refused_region_is_named_with_the_regions_that_have_the_class() -> None:
    error = refusal(lambda: candidates(LARGE, Strategy.COST, "south", [market(1, resource_class="cloud")]))
    assert (error.field, error.accepted) == ("region", "north")
    assert "cloud" in error.message
    assert "south" in error.message


def test_with_no_market_at_all_the_tier_is_named_and_nothing_is_promised() -> None:
    error = refusal(lambda: candidates(ENTERPRISE, Strategy.COST, None, []))
    assert (error.field, error.accepted) == ("tier", "nothing until a provider joins")
    assert "dedicated or cloud" in error.message


def test_what_is_named_instead_are_the_tiers_as_they_are_now() -> None:
    mobile = [market(1, resource_class="mobile")]
    now = [LARGE, replace(ENTERPRISE, classes=(ResourceClass.MOBILE,))]
    error = refusal(lambda: orders.candidates(LARGE, Strategy.COST, None, mobile, now))
    assert (error.field, error.accepted) == ("tier", "enterprise")


@pytest.mark.parametrize("strategy", [Strategy.BALANCED, Strategy.LATENCY])
def test_enterprise_goes_to_dedicated_nodes_first_however_cheap_the_cloud_is(strategy: Strategy) -> None:
    markets = [market(1, resource_class="cloud"), market(9, resource_class="dedicated")]
    assert [m.market.resource_class for m in candidates(ENTERPRISE, strategy, None, markets)] == ["dedicated", "cloud"]
