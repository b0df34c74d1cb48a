"""SLAs: latencies in buckets, uptime, when a window is over, and what a broken promise is worth."""

from datetime import UTC, datetime, timedelta
from math import ceil
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.ids import AccountId, SlaWindowId
from backend.domain.money import PPM
from backend.domain.sla import (
    BUCKET_BOUNDS_MS,
    WINDOW,
    WINDOW_REQUESTS,
    Histogram,
    Measured,
    Promise,
    SlaState,
    SlaWindow,
    credit_nano,
    credit_ppm,
)
from backend.domain.tiers import LADDER, TIERS, TierName

NOW = datetime(2026, 10, 1, tzinfo=UTC)
LAST = BUCKET_BOUNDS_MS[-1]
FIRST_STEP, SECOND_STEP, ALL = (credit for _, credit in LADDER)
latencies = st.lists(st.integers(0, 2 * LAST), max_size=200)


def promise(tier: TierName = TierName.ENTERPRISE) -> Promise:
    return Promise(TIERS[tier].latency_ms_p95, TIERS[tier].uptime_ppm, TIERS[tier].ladder)


def served(count: int, latency_ms: int = 1, failures: int = 0) -> Measured:
    return Measured(Histogram.of([latency_ms] * count), failures)


def window(**changes: object) -> SlaWindow:
    ids = AccountId(UUID(int=1)), AccountId(UUID(int=2))
    values = {"state": SlaState.OPEN, "opened_at": NOW} | changes
    return SlaWindow(SlaWindowId(UUID(int=3)), *ids, TierName.MEDIUM, **values)  # type: ignore[arg-type]  # by name


def test_buckets_go_upwards_and_every_tiers_target_is_the_end_of_one() -> None:
    assert list(BUCKET_BOUNDS_MS) == sorted(set(BUCKET_BOUNDS_MS))
    assert {tier.latency_ms_p95 for tier in TIERS.values()} <= set(BUCKET_BOUNDS_MS)


@pytest.mark.parametrize(
    ("latency_ms", "reads"), [(0, 1), (1, 1), (2, 2), (99, 100), (100, 100), (101, 120), (LAST, LAST), (2 * LAST, LAST)]
)
def test_a_latency_reads_as_the_upper_bound_of_its_bucket(latency_ms: int, reads: int) -> None:
    assert Histogram.of([latency_ms]).percentile_ms(PPM) == reads


@given(latencies, latencies)
def test_merged_histograms_are_the_histogram_of_both(some: list[int], others: list[int]) -> None:
    together = Histogram.of(some + others)
    assert Histogram.of(some).merged(Histogram.of(others)) == together
    assert together.total == len(some) + len(others)


@given(latencies, latencies, st.integers(0, 9), st.integers(0, 9))
def test_of_a_running_total_only_what_is_not_known_yet_is_new_and_of_one_that_came_late_nothing(
    some: list[int], others: list[int], failed: int, then: int
) -> None:
    known = Measured(Histogram.of(some), failed)
    total = Measured(Histogram.of(some + others), failed + then)
    assert total.since(known) == Measured(Histogram.of(others), then)
    assert known.merged(total.since(known)) == total
    assert total.since(total) == known.since(total) == Measured()


@given(st.lists(st.integers(0, LAST), min_size=1, max_size=200), st.integers(1, PPM))
def test_a_percentile_is_never_below_the_exact_one_and_in_its_bucket(of: list[int], share_ppm: int) -> None:
    exact = sorted(of)[max(1, ceil(len(of) * share_ppm / PPM)) - 1]
    read = Histogram.of(of).percentile_ms(share_ppm)
    assert read == next(bound for bound in BUCKET_BOUNDS_MS if bound >= exact)


def test_nothing_has_no_percentile_and_was_always_up() -> None:
    assert Measured().latency_ms_p95 is None
    assert (Measured().requests, Measured().uptime_ppm) == (0, PPM)


def test_one_slow_request_of_twenty_is_not_in_the_p95_and_two_are() -> None:
    assert served(19).merged(served(1, 5_000)).latency_ms_p95 == 1
    assert served(18).merged(served(2, 5_000)).latency_ms_p95 == 5_000


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_uptime_is_the_share_that_was_served_rounded_down(good: int, bad: int) -> None:
    measured = Measured(Histogram((good, *Histogram().counts[1:])), bad)
    assert measured.requests == good + bad
    if measured.requests:
        assert measured.uptime_ppm * measured.requests <= good * PPM < (measured.uptime_ppm + 1) * measured.requests


@pytest.mark.parametrize(
    ("failures", "credit"),
    [(0, 0), (1, 0), (2, FIRST_STEP), (100, FIRST_STEP), (101, SECOND_STEP), (500, SECOND_STEP), (501, ALL)],
)
def test_the_ladder_pays_more_the_less_was_served_and_nothing_at_its_steps_themselves(
    failures: int, credit: int
) -> None:
    measured = served(10_000 - failures, failures=failures)
    assert credit_ppm(promise(), measured) == credit


@pytest.mark.parametrize(("failures", "credit"), [(5, 0), (6, FIRST_STEP), (10, FIRST_STEP), (11, SECOND_STEP)])
def test_nothing_is_paid_where_the_tiers_own_target_is_met(failures: int, credit: int) -> None:
    assert credit_ppm(promise(TierName.MEDIUM), served(1_000 - failures, failures=failures)) == credit


def test_a_target_below_a_step_silences_that_step_until_it_is_missed() -> None:
    lax = Promise(1_000, 900_000, LADDER)
    assert credit_ppm(lax, served(90, failures=10)) == 0
    assert credit_ppm(lax, served(89, failures=11)) == ALL


def test_a_p95_above_the_target_pays_the_first_step_and_a_larger_one_wins() -> None:
    assert credit_ppm(promise(), served(100, 100)) == 0
    assert credit_ppm(promise(), served(100, 101)) == FIRST_STEP
    assert credit_ppm(promise(), served(98, 101, failures=2)) == SECOND_STEP


def test_without_a_ladder_nothing_is_paid_and_its_order_does_not_matter() -> None:
    bad = served(1, 5_000, failures=1)
    assert credit_ppm(Promise(100, 999_900, ()), bad) == 0
    assert credit_ppm(Promise(100, 999_900, tuple(reversed(LADDER))), bad) == ALL
    assert credit_ppm(Promise(100, 0, tuple(reversed(LADDER))), bad) == FIRST_STEP


@given(st.integers(0, 1_000), st.integers(0, 1_000), st.integers(0, PPM))
def test_more_failures_never_pay_less(good: int, bad: int, uptime_ppm: int) -> None:
    promised = Promise(100, uptime_ppm, LADDER)
    less, more = Measured(Histogram((good, *Histogram().counts[1:])), bad), served(0, failures=1)
    assert credit_ppm(promised, less) <= credit_ppm(promised, less.merged(more))


@given(st.integers(0, 10**18), st.integers(0, PPM))
def test_a_credit_is_its_share_rounded_up_and_never_above_the_charge(charged: int, share_ppm: int) -> None:
    credit = credit_nano(charged, share_ppm)
    assert 0 <= credit <= charged
    assert 0 <= credit * PPM - charged * share_ppm < PPM


def test_a_window_is_over_after_its_time_or_when_it_has_counted_enough() -> None:
    tick = timedelta(microseconds=1)
    assert not window().is_over(NOW + WINDOW - tick)
    assert window().is_over(NOW + WINDOW)
    assert not window(measured=served(WINDOW_REQUESTS - 1)).is_over(NOW)
    assert window(measured=served(WINDOW_REQUESTS - 1, failures=1)).is_over(NOW)


def test_what_a_window_counts_adds_up() -> None:
    counted = window().counting(served(3), 30, 20).counting(served(1, failures=1), 7)
    assert (counted.measured, counted.charged_nano, counted.withheld_nano) == (served(4, failures=1), 37, 20)


def test_a_window_is_judged_by_what_of_its_charge_still_stands() -> None:
    counted = window().counting(served(1, 5_000), 1_000, 900)
    assert counted.owed_nano == 0
    judged = counted.judged(promise(TierName.MEDIUM), 500, NOW)
    assert (judged.state, judged.closed_at) == (SlaState.CLOSED, NOW)
    assert (judged.latency_ms_p95, judged.uptime_ppm, judged.credit_ppm) == (5_000, PPM, FIRST_STEP)
    assert (judged.charged_nano, judged.withheld_nano, judged.owed_nano) == (500, 900, 50)
