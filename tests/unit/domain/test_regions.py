"""Orders that may leave their region: where they go, and how far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Unavailable
from backend.domain.machines import NO_NEEDS, Needs
from backend.domain.orders import MarketState, Strategy
from backend.domain.regions import LINK_UNKNOWN_MS, check_link, link_ms, within_reach
from tests.unit.domain.placements import market, market_lists
from tests.unit.domain.refusals import refusal

HOME = market(9, 9, region="home")
NEAR = market(7, 7, region="near")
CHEAP = market(1, 1, region="cheap")
LINKS = {"near": 10, "cheap": 90}


@pytest.mark.parametrize(
    ("strategy", "regions"),
    [
        (Strategy.COST, ["home", "cheap", "near"]),
        (Strategy.BALANCED, ["home", "cheap", "near"]),
        (Strategy.LATENCY, ["home", "near", "cheap"]),
    ],
)
def test_home_comes_first_and_then_the_others_by_what_the_strategy_cares_for(
    strategy: Strategy, regions: list[str]
) -> None:
    found, _ = within_reach("home", [CHEAP, NEAR, HOME], strategy, NO_NEEDS, LINKS)
    assert [m.market.region for m in found] == regions


def test_a_balanced_order_goes_farther_only_for_what_it_saves() -> None:
    near, far = market(100, 100, region="near"), market(99, 99, region="far")
    found, _ = within_reach("home", [far, near], Strategy.BALANCED, NO_NEEDS, {"near": 1, "far": 50})
    assert [m.market.region for m in found] == ["near", "far"]
    much_cheaper = market(80, 80, region="far")
    found, _ = within_reach("home", [near, much_cheaper], Strategy.BALANCED, NO_NEEDS, {"near": 1, "far": 50})
    assert [m.market.region for m in found] == ["far", "near"]


def test_a_home_where_nothing_lives_comes_last() -> None:
    dark = market(9, None, slots=0, region="home")
    found, _ = within_reach("home", [dark, CHEAP], Strategy.COST, NO_NEEDS, LINKS)
    assert [m.market.region for m in found] == ["cheap", "home"]


def test_what_is_too_far_is_left_out_and_nodes_may_use_up_what_the_way_leaves() -> None:
    found, needs = within_reach("home", [HOME, NEAR, CHEAP], Strategy.COST, Needs(latency_ms_max=50), LINKS)
    assert [m.market.region for m in found] == ["home", "near"]
    assert needs.latency_ms_max == 40


def test_when_everything_is_too_far_the_refusal_says_how_far_the_nearest_is() -> None:
    error = refusal(lambda: within_reach("home", [NEAR, CHEAP], Strategy.COST, Needs(latency_ms_max=5), LINKS))
    assert (error.code, error.field, error.accepted) == ("needs_unmet", "needs.latency_ms_max", "10 or more")


@given(
    market_lists(least=1),
    st.sampled_from(list(Strategy)),
    st.integers(0, 200),
    st.dictionaries(st.sampled_from(["north", "south"]), st.integers(0, 150)),
)
def test_no_node_that_the_needs_let_in_is_farther_from_home_than_the_bound(
    markets: list[MarketState], strategy: Strategy, bound: int, links: dict[str, int]
) -> None:
    try:
        found, needs = within_reach("north", markets, strategy, Needs(latency_ms_max=bound), links)
    except Unavailable:
        assert all(link_ms("north", m.market.region, links) > bound for m in markets)
        return
    assert needs.latency_ms_max is not None
    for m in found:
        assert link_ms("north", m.market.region, links) + needs.latency_ms_max <= bound


def test_regions_that_nobody_measured_count_as_far_apart() -> None:
    assert link_ms("a", "b", {}) == LINK_UNKNOWN_MS
    assert link_ms("a", "a", {"a": 7}) == 0


def test_a_link_is_written_down_once_whichever_way_it_is_stated() -> None:
    assert check_link("b", "a", 3) == check_link("a", "b", 3) == ("a", "b", 3)


@pytest.mark.parametrize(
    ("link", "field"),
    [
        (("A", "b", 1), "region"),
        (("a", "", 1), "other"),
        (("a", "a", 1), "other"),
        (("a", "b", -1), "latency_ms"),
        (("a", "b", 10**9), "latency_ms"),
    ],
)
def test_a_link_that_cannot_be_is_refused_with_its_field(link: tuple[str, str, int], field: str) -> None:
    error = refusal(lambda: check_link(*link))
    assert (error.code, error.field) == (f"invalid_{field}", field)
