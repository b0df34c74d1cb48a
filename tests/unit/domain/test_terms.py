"""At which terms an order is placed: its limit, its worst case, and what is refused before money is held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid, SwarmexError
from backend.domain.money import NANO_PER_CREDIT, US_PER_S, charge_nano, format_credits, parse_credits
from backend.domain.orders import LIMIT_OVER_SPOT, MarketState, WorkloadRequest
from backend.domain.terms import Terms, terms, worst_case_nano
from backend.domain.tiers import TIERS, Tier, TierName
from tests.unit.domain.placements import market, request
from tests.unit.domain.refusals import refusal

TIER = TIERS[TierName.ENTERPRISE]
SECOND = [US_PER_S]

prices = st.integers(1_000, 10**8)
times = st.lists(st.integers(1, 10 * US_PER_S), min_size=1, max_size=8)
budgets = st.integers(1, 10**11)


@st.composite
def living_markets(draw: st.DrawFn) -> list[MarketState]:
    """Markets whose spot price covers their lowest ask, as it does unless an ask has just been raised."""
    spots = draw(st.lists(prices, min_size=1, max_size=4))
    return [market(spot, draw(st.integers(1, spot))) for spot in spots]


def agreed(asked: WorkloadRequest, markets: list[MarketState], us_max: list[int]) -> Terms:
    """The terms in tier enterprise."""
    return terms(asked, TIER, markets, us_max, sum(us_max) // 2)


def outcome(asked: WorkloadRequest, markets: list[MarketState], us_max: list[int]) -> Terms | SwarmexError:
    """The terms, or the refusal."""
    try:
        return agreed(asked, markets, us_max)
    except SwarmexError as error:
        return error


def refused(asked: WorkloadRequest, markets: list[MarketState], us_max: list[int]) -> Invalid:
    """The refusal of those terms."""
    error = refusal(lambda: agreed(asked, markets, us_max))
    assert isinstance(error, Invalid)
    return error


@given(prices, times, st.data())
def test_the_worst_case_covers_every_item_however_long_it_took_at_any_price_up_to_the_limit(
    limit: int, us_max: list[int], data: st.DataObject
) -> None:
    price = data.draw(st.integers(0, limit))
    billed = [data.draw(st.integers(0, us)) for us in us_max]
    worst = agreed(request(limit_nano_per_slot_s=limit), [market(limit, 1)], us_max).worst_case_nano
    assert sum(charge_nano(price, us) for us in billed) <= worst
    assert worst == worst_case_nano(limit, us_max) == sum(charge_nano(limit, us) for us in us_max)


@given(living_markets(), times)
def test_without_a_limit_or_a_budget_the_limit_leaves_room_for_one_doubling_of_the_dearest_candidate(
    markets: list[MarketState], us_max: list[int]
) -> None:
    result = agreed(request(), markets, us_max)
    assert result.limit_nano == LIMIT_OVER_SPOT * max(m.spot_nano for m in markets)


@given(living_markets(), times)
def test_what_an_order_should_cost_is_its_expected_time_at_the_spot_price_of_where_it_is_tried_first(
    markets: list[MarketState], us_max: list[int]
) -> None:
    expected = agreed(request(), markets, us_max).expected_nano
    assert expected == charge_nano(markets[0].spot_nano, sum(us_max) // 2)


@given(living_markets(), times)
def test_a_quote_does_not_speak_of_the_price_of_a_market_where_no_node_lives(
    markets: list[MarketState], us_max: list[int]
) -> None:
    dead = market(1_000, None, slots=0, region="south")
    assert agreed(request(), [dead, *markets], us_max).expected_nano == agreed(request(), markets, us_max).expected_nano


@given(living_markets(), times, budgets)
def test_a_budget_is_never_exceeded_and_an_order_that_it_limits_makes_use_of_it(
    markets: list[MarketState], us_max: list[int], budget: int
) -> None:
    without = agreed(request(), markets, us_max)
    result = outcome(request(max_budget_nano=budget), markets, us_max)
    if isinstance(result, SwarmexError):
        assert (result.code, result.field) == ("budget_too_low", "max_budget")
        return
    assert result.worst_case_nano <= budget
    assert result.limit_nano <= without.limit_nano
    if result.limit_nano < without.limit_nano:
        next_higher = (result.limit_nano + 1) * sum(us_max) / US_PER_S
        assert next_higher > budget - len(us_max)


@given(living_markets(), times, budgets)
def test_the_budget_that_a_refusal_names_is_enough(markets: list[MarketState], us_max: list[int], budget: int) -> None:
    result = outcome(request(max_budget_nano=budget), markets, us_max)
    if isinstance(result, SwarmexError):
        assert result.accepted
        enough = parse_credits(result.accepted.split()[2])
        assert enough > budget
        assert agreed(request(max_budget_nano=enough), markets, us_max).worst_case_nano <= enough


@given(prices, times)
def test_a_budget_below_the_worst_case_of_an_own_limit_is_refused_with_that_worst_case(
    limit: int, us_max: list[int]
) -> None:
    worst = worst_case_nano(limit, us_max)
    markets = [market(limit, 1)]
    exactly = agreed(request(limit_nano_per_slot_s=limit, max_budget_nano=worst), markets, us_max)
    assert (exactly.limit_nano, exactly.worst_case_nano) == (limit, worst)
    error = refused(request(limit_nano_per_slot_s=limit, max_budget_nano=worst - 1), markets, us_max)
    assert (error.code, error.field) == ("budget_too_low", "max_budget")
    assert error.accepted == f"at least {format_credits(worst)} credits now"


@pytest.mark.parametrize("count", [1, 500])
def test_the_least_budget_is_refused_however_many_items_there_are(count: int) -> None:
    error = refused(request(max_budget_nano=1), [market(1_000_000, 1)], SECOND * count)
    assert (error.code, error.field) == ("budget_too_low", "max_budget")


@given(prices, st.integers(2, 10**4), budgets)
def test_nobody_is_told_that_a_budget_is_too_low_that_is_above_the_one_named(
    spot: int, times_dearer: int, budget: int
) -> None:
    """When the limit is too low because the spot price has not caught up, more budget would not help."""
    result = outcome(request(max_budget_nano=budget), [market(spot, spot * times_dearer)], SECOND)
    if isinstance(result, SwarmexError) and result.code == "budget_too_low":
        assert parse_credits((result.accepted or "").split()[2]) > budget


@given(prices, st.integers(2, 10**6))
def test_nobody_is_told_that_a_budget_is_too_low_who_gave_none(spot: int, times_dearer: int) -> None:
    """Asks may be far above a spot price that has not caught up with them yet."""
    result = outcome(request(), [market(spot, spot * times_dearer)], SECOND)
    assert isinstance(result, Terms) or (result.code, result.field) != ("budget_too_low", "max_budget")


@given(st.lists(st.tuples(prices, prices), min_size=1, max_size=4), st.data())
def test_a_limit_below_half_of_every_price_is_refused_and_one_at_half_may_wait(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    markets = [market(spot, ask) for spot, ask in rows]
    half = -(-min(spot for spot, _ in rows) // 2)
    assert agreed(request(limit_nano_per_slot_s=half), markets, SECOND).limit_nano == half
    below = data.draw(st.integers(-1, half - 1))
    error = refused(request(limit_nano_per_slot_s=below), markets, SECOND)
    assert (error.code, error.field) == ("limit_below_market", "limit")


@given(prices, st.lists(prices, min_size=2, max_size=2), prices)
def test_what_is_answered_says_nothing_of_the_sealed_asks(spot: int, asks: list[int], offered: int) -> None:
    for asked in (request(limit_nano_per_slot_s=offered), request(max_budget_nano=offered)):
        one, other = (answer(asked, [market(spot, ask)]) for ask in asks)
        assert one == other


def answer(asked: WorkloadRequest, markets: list[MarketState]) -> object:
    """The terms, or all that a refusal tells."""
    try:
        return agreed(asked, markets, SECOND)
    except Invalid as error:
        return error.code, error.field, error.message, error.accepted


def test_a_limit_below_the_market_is_answered_with_a_spot_price_that_would_pass() -> None:
    living, dead = market(1_500_000, 700_000), market(1_000, None, slots=0)
    for markets in ([living], [living, dead]):
        error = refused(request(limit_nano_per_slot_s=1), markets, SECOND)
        assert error.accepted == "0.001500000 credits per slot-second is the spot price now"


def test_where_no_node_lives_any_positive_limit_may_wait() -> None:
    empty = [market(1_000_000, None, slots=0)]
    assert agreed(request(limit_nano_per_slot_s=1), empty, SECOND).limit_nano == 1
    assert refused(request(limit_nano_per_slot_s=0), empty, SECOND).code == "limit_below_market"


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_a_worst_case_up_to_the_tiers_cap_is_accepted_and_above_it_refused(tier: Tier) -> None:
    cap, markets = tier.request_cap_nano, [market(1, 1)]
    at_cap = terms(request(limit_nano_per_slot_s=cap), tier, markets, SECOND, 1)
    assert at_cap.worst_case_nano == cap
    error = refusal(lambda: terms(request(limit_nano_per_slot_s=cap + 1), tier, markets, SECOND, 1))
    assert (error.code, error.field) == ("above_tier_cap", "limit")
    assert error.accepted == f"a worst case of at most {format_credits(cap)} credits"
    assert tier.name in error.message


def test_too_much_work_for_a_tiers_cap_is_refused_by_its_requests() -> None:
    dear = market(NANO_PER_CREDIT, 1)
    error = refusal(lambda: terms(request(), TIERS[TierName.SMALL], [dear], SECOND * 3, 1))
    assert (error.code, error.field) == ("above_tier_cap", "requests")
    assert terms(request(), TIERS[TierName.SMALL], [dear], SECOND * 2, 1).worst_case_nano == 4 * NANO_PER_CREDIT
