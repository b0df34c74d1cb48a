"""Budgets: any wishes, in any batches."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod, Tally, Wish
from backend.domain.ids import BudgetId
from tests.unit.domain.wishes import (
    HARD,
    JOB,
    LARGE,
    MEMBER,
    OTHER_MEMBER,
    OWN,
    REQUEST,
    SMALL,
    SOFT,
    budget,
    granted,
    wish,
)

members = st.none() | st.sampled_from([MEMBER, OTHER_MEMBER])
tiers = st.none() | st.sampled_from([SMALL, LARGE])
some_budgets = st.lists(
    st.builds(
        budget,
        st.integers(0, 200),
        st.sampled_from(BudgetPeriod),
        st.sampled_from(BudgetMode),
        member=members,
        tier=tiers,
        account=st.sampled_from([OWN, None]),
    ),
    max_size=5,
).map(lambda found: [replace(one, id=BudgetId(UUID(int=number))) for number, one in enumerate(found)])
some_wishes = st.lists(
    st.builds(wish, st.integers(1, 80), st.sampled_from([REQUEST, JOB]), tiers, members), max_size=15
)


def falls_under(one: Budget, asked: Wish) -> bool:
    """Said again, in other words than the code's."""
    return not (
        (one.tier and one.tier != asked.tier)
        or (one.member_id and one.member_id != asked.member_id)
        or (one.period in (REQUEST, JOB) and one.period != asked.kind)
    )


@given(some_budgets, st.lists(some_wishes, max_size=4))
def test_however_wishes_are_split_over_batches_no_hard_limit_is_exceeded(
    budgets: list[Budget], batches: list[list[Wish]]
) -> None:
    one_batch = granted(Tally(budgets), [asked for batch in batches for asked in batch])
    state, many_batches, told = budgets, [], []
    for batch in batches:
        tally = Tally(state)
        many_batches += granted(tally, batch)
        told += [(crossing.budget.id, crossing.percent) for crossing in tally.crossings() if crossing.budget.since]
        uses = {one.id: used for one, used in tally.counted()}
        state = [replace(one, used_nano=uses.get(one.id, one.used_nano)) for one in state]
    assert many_batches == one_batch
    assert len(told) == len(set(told))
    for one in state:
        amounts = [asked.amount_nano for asked in many_batches if falls_under(one, asked)]
        used = sum(amounts) if one.period.lasts else max(amounts, default=0)
        assert one.mode is SOFT or used <= one.limit_nano
        assert one.used_nano == (used if one.period.lasts else 0)
        if one.period.lasts and used:
            reached = {percent for percent in (80, 90, 100) if used * 100 >= percent * one.limit_nano}
            assert {percent for budget_id, percent in told if budget_id == one.id} == reached


@given(some_budgets, some_wishes)
def test_what_is_refused_is_refused_by_a_hard_budget_that_it_would_exceed(
    budgets: list[Budget], wishes: list[Wish]
) -> None:
    tally = Tally(budgets)
    before: list[Wish] = []
    for asked in wishes:
        lefts = {
            one.id: one.limit_nano
            - (sum(w.amount_nano for w in before if falls_under(one, w)) if one.period.lasts else 0)
            for one in budgets
            if one.mode is HARD and falls_under(one, asked)
        }
        refusal = tally.refusal(asked)
        assert (refusal is None) == all(asked.amount_nano <= left for left in lefts.values())
        if refusal:
            assert refusal.left_nano == min(lefts.values()) == lefts[BudgetId(refusal.budget)]
        else:
            tally.count(asked)
            before.append(asked)
