"""Trust: what evidence does to a score, how it fades, and how little one buyer can do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from backend.domain.ids import AccountId
from backend.domain.machines import TRUST_NEW_PPM
from backend.domain.money import PPM
from backend.domain.trust import (
    BAD,
    BUYER_WEIGHT_MAX,
    EXPLAINED_MAX,
    GOOD,
    HALF_LIFE,
    LATELY,
    TRUST_KEPT,
    Evidence,
    TrustEvent,
    explain,
    lower_bound_ppm,
    lower_bounds_ppm,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)

buyers = st.integers(1, 5).map(lambda number: AccountId(UUID(int=number)))
anybody = buyers | st.none()
moments = st.integers(0, 10_000).map(lambda hours: NOW - timedelta(hours=hours))


def events(accounts: st.SearchStrategy[AccountId | None] = anybody) -> st.SearchStrategy[list[TrustEvent]]:
    """Histories of a node."""
    return st.lists(
        st.builds(TrustEvent, st.sampled_from(Evidence), accounts, st.integers(1, 10_000), moments), max_size=12
    )


def buyer(number: int) -> AccountId:
    return AccountId(UUID(int=number))


def served(count: int = 1, by: int | None = 1, ago: timedelta = timedelta(0)) -> TrustEvent:
    return TrustEvent(Evidence.SERVED, None if by is None else buyer(by), count, NOW - ago)


def quantile_ppm(good: float, bad: float) -> int:
    """The definition, by another function than the one under test."""
    return round(float(beta.ppf(0.05, 1 + good, 1 + bad)) * PPM)


CONTENT = [served(1_000, by) for by in range(1, 11)]


def test_a_node_of_which_nothing_is_known_has_the_score_that_new_nodes_are_given() -> None:
    assert lower_bound_ppm([], NOW) == TRUST_NEW_PPM == 50_000
    assert lower_bounds_ppm([], NOW) == []


def test_every_kind_of_evidence_is_good_or_bad_and_not_both() -> None:
    assert set(GOOD) | set(BAD) == set(Evidence)
    assert not set(GOOD) & set(BAD)
    assert min(*GOOD.values(), *BAD.values()) > 0
    assert BAD[Evidence.LAPSED] >= BAD[Evidence.FAILED]


@given(st.lists(events(), max_size=4))
def test_scores_are_shares_and_those_of_many_nodes_are_those_of_each(histories: list[list[TrustEvent]]) -> None:
    scores = lower_bounds_ppm(histories, NOW)
    assert scores == [lower_bound_ppm(history, NOW) for history in histories]
    assert all(0 <= score <= PPM for score in scores)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_score_is_the_quantile_of_the_evidence_as_long_as_no_cap_is_reached(count: int) -> None:
    assert lower_bound_ppm([served(count)], NOW) == quantile_ppm(count, 0)
    failed = replace(served(), kind=Evidence.FAILED)
    assert lower_bound_ppm([served(count, 2), failed], NOW) == quantile_ppm(count, 2)


@given(events(), st.sampled_from(tuple(GOOD)), anybody, moments)
def test_good_evidence_never_lowers_a_score(
    history: list[TrustEvent], kind: Evidence, by: AccountId | None, at: datetime
) -> None:
    before = lower_bound_ppm(history, NOW)
    assert lower_bound_ppm([*history, TrustEvent(kind, by, 1, at)], NOW) >= before


@given(events(), st.sampled_from(tuple(BAD)), anybody, moments)
def test_bad_evidence_never_raises_a_score(
    history: list[TrustEvent], kind: Evidence, by: AccountId | None, at: datetime
) -> None:
    before = lower_bound_ppm(history, NOW)
    assert lower_bound_ppm([*history, TrustEvent(kind, by, 1, at)], NOW) <= before


@given(events(accounts=st.sampled_from([buyer(1)])))
def test_one_buyer_moves_a_score_no_further_than_the_weight_of_one_buyer(history: list[TrustEvent]) -> None:
    good, bad = len(CONTENT) * BUYER_WEIGHT_MAX, 0.0
    others = [replace(event, account_id=buyer(number)) for number, event in enumerate(CONTENT, 100)]
    score = lower_bound_ppm(others + history, NOW)
    assert quantile_ppm(good, bad + BUYER_WEIGHT_MAX) <= score <= quantile_ppm(good + BUYER_WEIGHT_MAX, bad)


def test_a_node_that_ten_buyers_are_content_with_keeps_85_percent_whatever_one_of_others_says() -> None:
    angry = [TrustEvent(kind, buyer(99), 10**6, NOW) for kind in BAD]
    assert lower_bound_ppm(CONTENT, NOW) > 970_000
    assert lower_bound_ppm(CONTENT + angry, NOW) == quantile_ppm(100, BUYER_WEIGHT_MAX) >= 850_000


def test_one_buyer_alone_cannot_make_a_new_node_better_than_77_percent() -> None:
    assert lower_bound_ppm([served(10**6)], NOW) == quantile_ppm(BUYER_WEIGHT_MAX, 0) <= 770_000


def test_a_buyers_cap_cuts_good_and_bad_alike() -> None:
    mixed = [served(300), replace(served(50), kind=Evidence.FAILED)]
    assert lower_bound_ppm(mixed, NOW) == quantile_ppm(7.5, 2.5)


def test_the_markets_own_canaries_are_not_capped() -> None:
    canary = TrustEvent(Evidence.CANARY_FAILED, None, 100, NOW)
    assert lower_bound_ppm([*CONTENT, canary], NOW) == quantile_ppm(100, 2_000)
    assert lower_bound_ppm([TrustEvent(Evidence.CANARY_PASSED, None, 500, NOW)], NOW) == quantile_ppm(500, 0)


def test_evidence_is_worth_half_after_a_half_life_and_nothing_is_left_when_it_is_forgotten() -> None:
    assert lower_bound_ppm([served(8, ago=HALF_LIFE)], NOW) == quantile_ppm(4, 0)
    assert lower_bound_ppm([served(8, ago=3 * HALF_LIFE)], NOW) == quantile_ppm(1, 0)
    assert lower_bound_ppm([served(8, ago=TRUST_KEPT)], NOW) - TRUST_NEW_PPM < 1_500


@given(events(), st.integers(0, 5_000))
def test_time_alone_moves_a_score_towards_that_of_a_new_node_and_never_past_it(
    history: list[TrustEvent], hours: int
) -> None:
    good = [event for event in history if event.kind in GOOD]
    later = lower_bound_ppm(good, NOW + timedelta(hours=hours))
    assert TRUST_NEW_PPM <= later <= lower_bound_ppm(good, NOW)


def test_evidence_from_a_clock_that_is_ahead_counts_as_of_now() -> None:
    assert lower_bound_ppm([served(5, ago=-HALF_LIFE)], NOW) == quantile_ppm(5, 0)


@given(events(), st.randoms())
def test_the_order_and_the_bundling_of_evidence_do_not_matter(history: list[TrustEvent], random: st.DataObject) -> None:
    split = [replace(e, count=1) for e in history] + [replace(e, count=e.count - 1) for e in history if e.count > 1]
    random.shuffle(split)  # type: ignore[attr-defined]  # a random.Random
    assert abs(lower_bound_ppm(split, NOW) - lower_bound_ppm(history, NOW)) <= 1


def test_an_explanation_of_nothing_is_the_score_of_a_new_node() -> None:
    told = explain([], NOW)
    assert (told.score_ppm, told.before_ppm, told.parts, told.lately) == (TRUST_NEW_PPM, TRUST_NEW_PPM, (), ())


def test_an_explanation_tells_what_each_kind_of_each_buyer_does_without_naming_anybody() -> None:
    history = [
        served(4, by=7, ago=HALF_LIFE),
        served(4, by=7),
        TrustEvent(Evidence.LOST, buyer(3), 4, NOW),
        TrustEvent(Evidence.CANARY_PASSED, None, 2, NOW),
    ]
    told = explain(history, NOW)
    assert told.score_ppm == lower_bound_ppm(history, NOW) == quantile_ppm(8, 10)
    by = {(part.kind, part.buyer): part for part in told.parts}
    served_part = by[Evidence.SERVED, 1]  # whose evidence came first
    assert (served_part.count, served_part.weight, served_part.counted) == (8, 6.0, 6.0)
    assert served_part.effect_ppm == quantile_ppm(8, 10) - quantile_ppm(2, 10)
    lost = by[Evidence.LOST, 2]
    assert (lost.count, lost.weight, lost.counted) == (4, 20.0, BUYER_WEIGHT_MAX)
    assert lost.effect_ppm == quantile_ppm(8, 10) - quantile_ppm(8, 0)
    assert by[Evidence.CANARY_PASSED, None].effect_ppm == quantile_ppm(8, 10) - quantile_ppm(6, 10)
    assert [part.effect_ppm for part in told.parts] == sorted((p.effect_ppm for p in told.parts), key=abs, reverse=True)


def test_an_explanation_tells_what_changed_within_a_day() -> None:
    old = served(6, ago=LATELY + timedelta(hours=1))
    failed = TrustEvent(Evidence.FAILED, buyer(2), 1, NOW - timedelta(hours=1))
    told = explain([old, failed], NOW)
    assert told.before_ppm == lower_bound_ppm([old], NOW - LATELY) > told.score_ppm
    [change] = told.lately
    assert (change.kind, change.buyer, change.count) == (Evidence.FAILED, 2, 1)
    assert change.effect_ppm == told.score_ppm - lower_bound_ppm([old], NOW)
    assert explain([old], NOW).lately == ()


@given(events())
def test_an_explanations_parts_hold_all_the_evidence_and_count_no_buyer_above_the_cap(
    history: list[TrustEvent],
) -> None:
    told = explain(history, NOW)
    assert told.score_ppm == lower_bound_ppm(history, NOW)
    assert sum(part.count for part in told.parts) == sum(event.count for event in history)
    for number in {part.buyer for part in told.parts} - {None}:
        assert sum(p.counted for p in told.parts if p.buyer == number) <= BUYER_WEIGHT_MAX * (1 + 1e-9)
    assert all(part.effect_ppm * (1 if part.kind in GOOD else -1) >= 0 for part in told.parts)


def test_an_explanation_leaves_out_what_does_least() -> None:
    history = [served(1, by, timedelta(days=by)) for by in range(1, EXPLAINED_MAX + 2)]
    told = explain(history, NOW)
    assert len(told.parts) == EXPLAINED_MAX
    assert 1 not in {part.buyer for part in told.parts}  # the oldest, whose evidence is worth the least
