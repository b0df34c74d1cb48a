"""Budgets: thresholds are told once each, by hard and by soft ones."""

import pytest

from backend.domain.budgets import BudgetMode, BudgetPeriod, Crossing, Tally, crossed
from tests.unit.domain.wishes import DAY, HARD, JOB, MONTH, REQUEST, SOFT, budget, granted, wish


def percents(tally: Tally) -> list[int]:
    """The thresholds gone over, of all budgets."""
    return [crossing.percent for crossing in tally.crossings()]


@pytest.mark.parametrize(
    ("before", "after", "limit", "told"),
    [
        (0, 79, 100, []),
        (0, 80, 100, [80]),
        (79, 80, 100, [80]),
        (80, 89, 100, []),
        (80, 90, 100, [90]),
        (0, 95, 100, [80, 90]),
        (0, 100, 100, [80, 90, 100]),
        (99, 250, 100, [100]),
        (100, 250, 100, []),
        (0, 2, 3, []),
        (2, 3, 3, [80, 90, 100]),
        (0, 1, 0, [80, 90, 100]),  # of a limit of zero: by the first nano
        (0, 0, 0, []),
        (1, 2, 0, []),
        (90, 70, 100, []),
        (8 * 10**17 - 1, 8 * 10**17, 10**18, [80]),
    ],
)
def test_a_threshold_is_told_when_it_is_reached_and_not_again(
    before: int, after: int, limit: int, told: list[int]
) -> None:
    assert crossed(before, after, limit) == told


@pytest.mark.parametrize("mode", [HARD, SOFT])
@pytest.mark.parametrize("period", [DAY, MONTH])
def test_one_wish_that_goes_over_several_thresholds_tells_each_once(period: BudgetPeriod, mode: BudgetMode) -> None:
    one = budget(100, period, mode, used_nano=10)
    tally = Tally([one])
    tally.count(wish(90))
    assert tally.crossings() == [Crossing(one, percent, 100) for percent in (80, 90, 100)]


def test_many_wishes_that_go_over_a_threshold_together_tell_it_once() -> None:
    tally = Tally([budget(100, used_nano=79)])
    granted(tally, [wish(1)] * 12)
    assert percents(tally) == [80, 90]


def test_what_was_told_in_an_earlier_batch_is_not_told_again() -> None:
    told, use = [], 0
    for _ in range(12):
        tally = Tally([budget(100, mode=SOFT, used_nano=use)])
        tally.count(wish(10))
        [(_, use)] = tally.counted()
        told += percents(tally)
    assert told == [80, 90, 100]


def test_each_budget_tells_for_itself() -> None:
    first, second = budget(100, number=1), budget(50, DAY, SOFT, number=2)
    tally = Tally([first, second])
    tally.count(wish(80))
    assert [(crossing.budget, crossing.percent) for crossing in tally.crossings()] == [
        (first, 80),
        (second, 80),
        (second, 90),
        (second, 100),
    ]


def test_a_soft_limit_of_zero_tells_of_the_first_nano() -> None:
    tally = Tally([budget(0, mode=SOFT)])
    assert percents(tally) == []
    tally.count(wish(1))
    assert percents(tally) == [80, 90, 100]


@pytest.mark.parametrize("period", [REQUEST, JOB])
def test_a_soft_limit_of_requests_or_jobs_tells_once_of_the_largest_above_it(period: BudgetPeriod) -> None:
    one = budget(100, period, SOFT)
    tally = Tally([one])
    for amount in (100, 99):
        tally.count(wish(amount, period))
    assert tally.crossings() == []
    for amount in (101, 130, 120):
        tally.count(wish(amount, period))
    assert tally.crossings() == [Crossing(one, 100, 130)]
    assert tally.counted() == []


@pytest.mark.parametrize("period", [REQUEST, JOB])
def test_a_hard_limit_of_requests_or_jobs_tells_nothing_since_it_refuses(period: BudgetPeriod) -> None:
    tally = Tally([budget(100, period)])
    assert granted(tally, [wish(100, period), wish(101, period)]) == [wish(100, period)]
    assert tally.crossings() == []
