"""Budgets: what hard ones refuse, whom each is for, and how wishes count within a batch."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from backend.domain.budgets import BudgetPeriod, Tally
from tests.unit.domain.wishes import (
    DAY,
    JOB,
    LARGE,
    MEMBER,
    MONTH,
    OTHER_MEMBER,
    REQUEST,
    SMALL,
    SOFT,
    UNTIL,
    budget,
    granted,
    wish,
)

# Refusal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [REQUEST, JOB, DAY, MONTH])
def test_a_hard_budget_grants_up_to_its_limit_and_refuses_above_it(period: BudgetPeriod) -> None:
    kind = period if not period.lasts else REQUEST
    assert Tally([budget(100, period)]).refusal(wish(100, kind)) is None
    refusal = Tally([budget(100, period)]).refusal(wish(101, kind))
    assert refusal is not None
    assert (refusal.code, refusal.asked_nano, refusal.left_nano) == ("budget_exceeded", 101, 100)
    assert refusal.budget == UUID(int=1)
    assert f"per {period.value} " in refusal.message


@pytest.mark.parametrize("period", [REQUEST, JOB, DAY, MONTH])
def test_a_soft_budget_refuses_nothing(period: BudgetPeriod) -> None:
    tally = Tally([budget(100, period, SOFT, used_nano=1_000)])
    assert tally.refusal(wish(10_000, JOB)) is None
    assert tally.refusal(wish(10_000, REQUEST)) is None


@pytest.mark.parametrize(("period", "other"), [(REQUEST, JOB), (JOB, REQUEST)])
def test_budgets_of_requests_and_of_jobs_hold_only_for_their_kind(period: BudgetPeriod, other: BudgetPeriod) -> None:
    tally = Tally([budget(10, period)])
    assert tally.refusal(wish(11, period))
    assert tally.refusal(wish(11, other)) is None


@pytest.mark.parametrize("period", [DAY, MONTH])
def test_budgets_of_a_day_or_month_hold_for_requests_and_jobs_together(period: BudgetPeriod) -> None:
    tally = Tally([budget(100, period)])
    assert len(granted(tally, [wish(60, REQUEST), wish(60, JOB), wish(40, JOB), wish(1, REQUEST)])) == 2


@pytest.mark.parametrize("period", [REQUEST, JOB])
def test_each_request_or_job_is_measured_by_itself(period: BudgetPeriod) -> None:
    tally = Tally([budget(100, period)])
    assert len(granted(tally, [wish(100, period)] * 5)) == 5
    assert tally.refusal(wish(101, period))
    assert tally.counted() == []


def test_what_was_used_before_in_the_period_counts() -> None:
    tally = Tally([budget(100, used_nano=70)])
    assert tally.refusal(wish(30)) is None
    refusal = tally.refusal(wish(31))
    assert refusal
    assert refusal.left_nano == 30
    assert refusal.accepted == f"at most 0.000000030 credits, or more from {UNTIL.isoformat()} on"


def test_a_budget_that_was_lowered_below_its_use_has_nothing_left_rather_than_less() -> None:
    refusal = Tally([budget(100, used_nano=170)]).refusal(wish(1))
    assert refusal
    assert refusal.left_nano == 0


def test_a_hard_limit_of_zero_refuses_everything() -> None:
    for period in BudgetPeriod:
        assert Tally([budget(0, period)]).refusal(wish(1, period if not period.lasts else JOB))


def test_without_budgets_everything_is_granted_and_nothing_is_told() -> None:
    tally = Tally([])
    assert len(granted(tally, [wish(10**18)] * 3)) == 3
    assert (tally.counted(), tally.crossings()) == ([], [])


# Whom and what it holds for ---------------------------------------------------------------------------


def test_a_tiers_budget_holds_for_that_tier_and_one_without_tier_for_all() -> None:
    tally = Tally([budget(50, tier=SMALL, number=1), budget(100, number=2)])
    asked = [wish(50, tier=SMALL), wish(1, tier=SMALL), wish(30, tier=LARGE), wish(20, tier=None), wish(1, tier=LARGE)]
    assert granted(tally, asked) == [asked[0], asked[2], asked[3]]
    assert [used for _, used in tally.counted()] == [50, 100]


def test_a_members_budget_holds_for_that_member_and_one_without_member_for_all() -> None:
    tally = Tally([budget(50, member=MEMBER, number=1), budget(100, number=2)])
    asked = [wish(50, member=MEMBER), wish(1, member=MEMBER), wish(30, member=OTHER_MEMBER), wish(20), wish(1)]
    assert granted(tally, asked) == [asked[0], asked[2], asked[3]]


def test_the_markets_and_the_accounts_own_budgets_are_asked_together() -> None:
    markets, own = budget(100, account=None, number=1), budget(60, DAY, number=2)
    assert Tally([markets]).refusal(wish(61)) is None
    assert Tally([own]).refusal(wish(60)) is None
    assert Tally([markets, own]).refusal(wish(61))
    assert Tally([replace(markets, used_nano=50), own]).refusal(wish(51))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_of_several_budgets_that_refuse_the_tightest_is_named(order: Sequence[int]) -> None:
    budgets = [
        budget(100, used_nano=60, number=1),
        budget(30, DAY, used_nano=5, number=2),  # 25 left
        budget(26, REQUEST, number=3),
        budget(1, DAY, SOFT, number=4),
    ]
    tally = Tally([budgets[index] for index in order])
    refusal = tally.refusal(wish(41))
    assert refusal
    assert (refusal.budget, refusal.left_nano) == (UUID(int=2), 25)
    tally.count(wish(20))
    after = tally.refusal(wish(27))
    assert after
    assert (after.budget, after.left_nano) == (UUID(int=2), 5)


def test_a_budget_that_would_refuse_is_not_named_for_a_wish_that_it_is_not_for() -> None:
    tally = Tally([budget(1, tier=LARGE, number=1), budget(50, number=2)])
    refusal = tally.refusal(wish(51, tier=SMALL))
    assert refusal
    assert refusal.budget == UUID(int=2)


# Counting within a batch ------------------------------------------------------------------------------


def test_wishes_of_one_batch_count_for_those_after_them() -> None:
    tally = Tally([budget(100, used_nano=40)])
    assert granted(tally, [wish(50), wish(11), wish(10), wish(1)]) == [wish(50), wish(10)]
    assert tally.counted() == [(budget(100, used_nano=40), 100)]


def test_what_was_refused_or_only_asked_does_not_count() -> None:
    tally = Tally([budget(100)])
    tally.refusal(wish(90))
    tally.refusal(wish(101))
    assert tally.counted() == []
    assert tally.refusal(wish(100)) is None


def test_only_budgets_of_a_period_that_were_added_to_are_counted() -> None:
    day, month, request = budget(100, DAY, number=1), budget(100, tier=LARGE, number=2), budget(100, REQUEST, number=3)
    tally = Tally([day, month, request])
    tally.count(wish(10))
    assert tally.counted() == [(day, 10)]


@pytest.mark.parametrize(
    ("limit_nano", "used_nano", "left_nano", "percent"),
    [
        (200, 0, 200, 0.0),
        (200, 67, 133, 33.5),
        (3, 1, 2, 33.3),
        (100, 100, 0, 100.0),
        (100, 250, 0, 250.0),
        (0, 0, 0, 100.0),
    ],
)
def test_a_budget_tells_what_is_left_and_how_much_is_used(
    limit_nano: int, used_nano: int, left_nano: int, percent: float
) -> None:
    shown = budget(limit_nano, used_nano=used_nano)
    assert (shown.left_nano, shown.used_percent) == (left_nano, percent)
