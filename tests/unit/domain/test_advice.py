"""What a quote tells beside its figures: where limit and worst case come from, and cheaper ways."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.advice import (
    QUOTE_VALID_S,
    SAVING_MIN_PPM,
    USUAL_DAYS_MIN,
    Alternative,
    Change,
    UsualPrice,
    Wish,
    alternatives,
    explain,
)
from backend.domain.money import NANO_PER_CREDIT, PPM, US_PER_S, charge_nano
from backend.domain.orders import LIMIT_OVER_SPOT, MarketState, WorkloadRequest
from backend.domain.pricing import EPOCH_S, STEP_MAX_PPM, Market
from backend.domain.terms import terms
from backend.domain.tiers import TIERS, TierName
from tests.unit.domain.placements import market, market_lists, request

MEDIUM = TIERS[TierName.MEDIUM]
SPOT = 1_000_000
HERE = market(SPOT, SPOT)
WISH = Wish(HERE, MEDIUM, 10 * US_PER_S)
COST = 10 * SPOT
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def usual(spot: int, hours: int = 3, days: int = USUAL_DAYS_MIN, region: str = "north") -> UsualPrice:
    """What a market costs at some hour, as it was."""
    return UsualPrice(Market("fog", region), NOON + timedelta(hours=hours), days, spot)


@pytest.mark.parametrize(
    ("other", "change"),
    [
        (market(SPOT // 2, 1, region="south"), Change.REGION),
        (market(SPOT // 2, 1, resource_class="cloud"), Change.RESOURCE_CLASS),
        (market(SPOT // 2, 1, resource_class="cloud", region="south"), Change.REGION_AND_CLASS),
    ],
)
def test_a_cheaper_market_that_the_tier_may_use_is_told_with_what_it_saves(other: MarketState, change: Change) -> None:
    [way] = alternatives(WISH, [HERE, other])
    assert way == Alternative(change, str(other.market), None, SPOT // 2, COST // 2, COST // 2)


@pytest.mark.parametrize(
    "other",
    [
        market(SPOT, SPOT, region="south"),
        market(SPOT * 2, SPOT, region="south"),
        market(SPOT // 2, 1, resource_class="mobile"),
        market(SPOT // 2, None, slots=0, region="south"),
        MarketState(Market("fog", "south"), SPOT // 2, 4, 0, 1),
    ],
)
def test_no_advice_is_given_where_nothing_is_saved_free_or_allowed(other: MarketState) -> None:
    assert alternatives(WISH, [HERE, other]) == ()


def test_a_saving_counts_from_a_twentieth_of_the_cost_on() -> None:
    enough = SPOT - SPOT * SAVING_MIN_PPM // PPM
    assert len(alternatives(WISH, [market(enough, 1, region="south")])) == 1
    assert alternatives(WISH, [market(enough + 1, 1, region="south")]) == ()


def test_what_costs_nothing_cannot_be_cheaper() -> None:
    assert alternatives(Wish(HERE, MEDIUM, 0), [market(1, 1, region="south")]) == ()


def test_of_each_kind_the_cheapest_is_told_and_the_greatest_saving_first() -> None:
    others = [market(spot, 1, region=region) for spot, region in ((600_000, "a"), (400_000, "b"), (400_000, "c"))]
    cloud = market(500_000, 1, resource_class="cloud")
    ways = alternatives(WISH, [*others, cloud], [usual(450_000), usual(300_000, 5)])
    assert [(way.change, way.market) for way in ways] == [
        (Change.LATER, "fog/north"),
        (Change.REGION, "fog/b"),
        (Change.RESOURCE_CLASS, "cloud/north"),
    ]


def test_a_later_hour_is_told_when_it_was_cheaper_on_several_earlier_days() -> None:
    [way] = alternatives(WISH, [], [usual(SPOT // 2), usual(1, days=USUAL_DAYS_MIN - 1), usual(1, region="south")])
    assert way == Alternative(Change.LATER, "fog/north", NOON + timedelta(hours=3), SPOT // 2, COST // 2, COST // 2)
    assert alternatives(WISH, [], [usual(SPOT)]) == ()


@given(market_lists(least=1), st.integers(0, 100 * US_PER_S), st.lists(st.integers(1, 9), max_size=4))
def test_every_alternative_saves_what_it_says_and_there_is_one_of_a_kind(
    markets: list[MarketState], expected_us: int, later: list[int]
) -> None:
    wish = Wish(markets[0], MEDIUM, expected_us)
    ways = alternatives(wish, markets, [UsualPrice(markets[0].market, NOON, 2, spot) for spot in later])
    assert len({way.change for way in ways}) == len(ways)
    assert [way.saving_nano for way in ways] == sorted((way.saving_nano for way in ways), reverse=True)
    for way in ways:
        assert way.expected_nano == charge_nano(way.spot_nano_per_slot_s, expected_us)
        assert way.saving_nano == wish.expected_nano - way.expected_nano > 0


def told(asked: WorkloadRequest, *markets: MarketState) -> str:
    """The explanation of an order of one second."""
    return explain(asked, terms(asked, TIERS[TierName.ENTERPRISE], markets, [US_PER_S], US_PER_S), markets)


def test_a_quote_explains_its_limit_and_worst_case_by_the_spot_price() -> None:
    assert told(request(), HERE) == (
        "fog/north costs 0.001000000 credits per slot-second now; the order bids up to 0.002000000, 2 times the spot"
        " price. Its worst case of 0.002000000 credits is that limit for the longest time that its requests may be"
        " billed; what is not used is given back."
    )


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(limit_nano_per_slot_s=3 * SPOT), "up to 0.003000000, the limit that you set"),
        (request(max_budget_nano=3 * SPOT // 2), "up to 0.001499999, what your budget leaves per slot-second"),
        (request(max_budget_nano=NANO_PER_CREDIT), "up to 0.002000000, 2 times the spot price."),
    ],
)
def test_a_limit_is_the_buyers_own_or_what_the_budget_leaves_or_a_multiple_of_the_spot_price(
    asked: WorkloadRequest, why: str
) -> None:
    assert why in told(asked, HERE)


def test_the_dearest_market_in_question_is_named_where_it_sets_the_limit() -> None:
    dear = market(5 * SPOT, 5 * SPOT, region="south")
    assert "bids up to 0.010000000, 2 times the spot price of fog/south, the dearest" in told(request(), HERE, dear)


def test_no_ask_is_told() -> None:
    asked = MarketState(Market("fog", "north"), SPOT, 4, 4, 123_457)
    assert "0.000123457" not in told(request(), asked)


def test_a_quote_is_valid_for_as_long_as_no_spot_price_can_outgrow_its_default_limit() -> None:
    epochs = QUOTE_VALID_S // EPOCH_S
    assert (PPM + STEP_MAX_PPM) ** epochs <= LIMIT_OVER_SPOT * PPM**epochs
    assert (PPM + STEP_MAX_PPM) ** (epochs + 1) > LIMIT_OVER_SPOT * PPM ** (epochs + 1)
