"""With failover an order may be served elsewhere, after the region that it names."""

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Unavailable
from backend.domain.orders import MarketState, Strategy, candidates
from backend.domain.tiers import TIERS, TierName
from tests.unit.domain.placements import market, market_lists
from tests.unit.domain.refusals import refusal

MEDIUM = TIERS[TierName.MEDIUM]


def found(
    markets: list[MarketState], region: str | None, *, failover: bool, strategy: Strategy = Strategy.COST
) -> list[str]:
    """The names of the candidates of an order of tier medium."""
    return [
        str(state.market) for state in candidates(MEDIUM, strategy, region, markets, TIERS.values(), failover=failover)
    ]


def test_the_named_region_is_tried_first_though_others_are_cheaper() -> None:
    markets = [market(1, 1, region="south"), market(9, 9, region="north"), market(5, 5, region="west")]
    assert found(markets, "north", failover=True) == ["fog/north", "fog/south", "fog/west"]
    assert found(markets, "north", failover=False) == ["fog/north"]


def test_a_region_without_a_living_node_comes_after_those_that_have_one() -> None:
    markets = [market(1, slots=0, region="north"), market(9, 9, region="south")]
    assert found(markets, "north", failover=True) == ["fog/south", "fog/north"]


def test_a_region_that_has_no_market_at_all_is_served_elsewhere() -> None:
    markets = [market(9, 9, region="south")]
    assert found(markets, "moon", failover=True) == ["fog/south"]
    assert refusal(lambda: found(markets, "moon", failover=False)).code == "no_capacity"


def test_no_market_for_the_tier_is_refused_with_failover_too() -> None:
    error = refusal(lambda: found([market(1, 1, resource_class="mobile")], "north", failover=True))
    assert isinstance(error, Unavailable)
    assert (error.code, error.field) == ("no_capacity", "tier")


@given(st.sampled_from(Strategy), market_lists())
def test_without_a_region_it_means_nothing(strategy: Strategy, markets: list[MarketState]) -> None:
    if any(state.market.resource_class in MEDIUM.classes for state in markets):
        with_it = found(markets, None, failover=True, strategy=strategy)
        assert with_it == found(markets, None, failover=False, strategy=strategy)


@given(st.sampled_from(Strategy), st.sampled_from(["north", "south"]), market_lists())
def test_it_adds_markets_and_keeps_the_order_of_those_in_the_region(
    strategy: Strategy, region: str, markets: list[MarketState]
) -> None:
    if any(m.market.resource_class in MEDIUM.classes and m.market.region == region for m in markets):
        everywhere = found(markets, region, failover=True, strategy=strategy)
        here = [name for name in everywhere if name.endswith(region)]
        assert here == found(markets, region, failover=False, strategy=strategy)
        assert sorted(everywhere) == sorted(found(markets, None, failover=False, strategy=strategy))
