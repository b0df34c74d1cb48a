"""Budgets and wishes for their tests."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod, Tally, Wish
from backend.domain.ids import AccountId, BudgetId
from backend.domain.tiers import TierName

REQUEST, JOB, DAY, MONTH = BudgetPeriod
HARD, SOFT = BudgetMode
SMALL, LARGE = TierName.SMALL, TierName.LARGE
OWN = AccountId(UUID(int=1))
MEMBER, OTHER_MEMBER = AccountId(UUID(int=2)), AccountId(UUID(int=3))
SINCE, UNTIL = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)


def budget(
    limit_nano: int,
    period: BudgetPeriod = MONTH,
    mode: BudgetMode = HARD,
    *,
    number: int = 1,
    account: AccountId | None = OWN,
    member: AccountId | None = None,
    tier: TierName | None = None,
    used_nano: int = 0,
) -> Budget:
    """The budget of that number."""
    budget_id = BudgetId(UUID(int=number))
    since, until = (SINCE, UNTIL) if period.lasts else (None, None)
    return Budget(budget_id, account, member, period, tier, limit_nano, mode, "UTC", since, until, used_nano)


def wish(
    amount_nano: int,
    kind: BudgetPeriod = REQUEST,
    tier: TierName | None = SMALL,
    member: AccountId | None = None,
) -> Wish:
    """Something that wants money set aside."""
    return Wish(amount_nano, tier, kind, member)


def granted(tally: Tally, wishes: Sequence[Wish]) -> list[Wish]:
    """Ask for one after the other, as the reserve path does; returns those that were counted."""
    counted = []
    for one in wishes:
        if tally.refusal(one) is None:
            tally.count(one)
            counted.append(one)
    return counted
