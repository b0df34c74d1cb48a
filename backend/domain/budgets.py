"""Budgets: what may be set aside per request, per job or per period; hard ones refuse, soft ones only tell.

A budget counts what is set aside less what is given back: an order counts with its worst case from the moment when it
is placed, and with its charge once it is over, in the period in which it was placed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.errors import BudgetExceeded
from backend.domain.ids import AccountId, BudgetId
from backend.domain.tiers import TierName

THRESHOLDS_PERCENT = (80, 90, 100)


class BudgetPeriod(StrEnum):
    """What a budget is for: each request, each job (a batch or a training run), or all of a day or month."""

    REQUEST = "request"
    JOB = "job"
    DAY = "day"
    MONTH = "month"

    @property
    def lasts(self) -> bool:
        """Whether it adds up over time."""
        return self in (BudgetPeriod.DAY, BudgetPeriod.MONTH)


class BudgetMode(StrEnum):
    """What happens at its limit."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in nano-credits, and what of it is used since its period began.

    Without an account it holds for each account by itself, without a member for all members together, without a tier
    for all tiers. `since` is the start of the current period in the budget's time zone; None for requests and jobs.
    """

    id: BudgetId
    account_id: AccountId | None
    member_id: AccountId | None
    period: BudgetPeriod
    tier: TierName | None
    limit_nano: int
    mode: BudgetMode
    timezone: str
    since: datetime | None = None
    until: datetime | None = None
    used_nano: int = 0

    @property
    def left_nano(self) -> int:
        """What can still be set aside in this period."""
        return max(0, self.limit_nano - self.used_nano)

    @property
    def used_percent(self) -> float:
        """How much of it is used; all of a budget of nothing."""
        return round(100 * self.used_nano / self.limit_nano, 1) if self.limit_nano else 100.0


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that wants money set aside: how much, in which tier, a request or a job, and for which member."""

    amount_nano: int
    tier: TierName | None
    kind: BudgetPeriod
    member_id: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that a budget's use went over."""

    budget: Budget
    percent: int
    used_nano: int


class Tally:
    """The budgets that one account is under, counted up wish by wish, in memory."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._lines = [_Line(budget) for budget in budgets]

    def refusal(self, wish: Wish) -> BudgetExceeded | None:
        """Why a wish may not be granted, by the budget that has least left for it; None if it may."""
        amount = wish.amount_nano
        over = [line for line in self._lines if line.is_hard and line.left_nano < amount and line.is_for(wish)]
        if not over:
            return None
        tightest = min(over, key=lambda line: line.left_nano)
        budget = tightest.budget
        return BudgetExceeded(budget.id, budget.period, amount, max(0, tightest.left_nano), budget.until)

    def count(self, wish: Wish) -> None:
        """Count a wish that was granted."""
        for line in self._lines:
            if line.is_for(wish):
                line.count(wish.amount_nano)

    def counted(self) -> list[tuple[Budget, int]]:
        """The budgets of a day or month that were added to, with what they have used now."""
        return [(line.budget, line.used_nano) for line in self._lines if line.lasts and line.is_counted]

    def crossings(self) -> list[Crossing]:
        """The thresholds that what was counted here went over; of a request or job, only a soft limit itself."""
        return [Crossing(line.budget, percent, line.used_nano) for line in self._lines for percent in line.crossed()]


class _Line:
    """One budget of a tally; what is asked for each wish is worked out once."""

    __slots__ = ("budget", "is_counted", "is_hard", "lasts", "left_nano", "member_id", "period", "tier", "used_nano")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.tier, self.member_id, self.period = budget.tier, budget.member_id, budget.period
        self.is_hard = budget.mode is BudgetMode.HARD
        self.lasts = budget.period.lasts
        self.used_nano = budget.used_nano if self.lasts else 0  # of a request or job: the largest that was counted
        self.left_nano = budget.limit_nano - self.used_nano  # for the next wish
        self.is_counted = False

    def is_for(self, wish: Wish) -> bool:
        """Whether a wish falls under this budget."""
        return (
            (self.tier is None or self.tier == wish.tier)
            and (self.member_id is None or self.member_id == wish.member_id)
            and (self.lasts or self.period == wish.kind)
        )

    def count(self, amount_nano: int) -> None:
        """Add to what is used over time, or see whether a single wish was larger than those before."""
        self.is_counted = True
        if self.lasts:
            self.used_nano += amount_nano
            self.left_nano -= amount_nano
        else:
            self.used_nano = max(self.used_nano, amount_nano)

    def crossed(self) -> list[int]:
        """The thresholds, in percent, to tell of."""
        if self.lasts:
            return crossed(self.budget.used_nano, self.used_nano, self.budget.limit_nano)
        return [THRESHOLDS_PERCENT[-1]] if self.used_nano > self.budget.limit_nano else []


def crossed(before_nano: int, after_nano: int, limit_nano: int) -> list[int]:
    """The thresholds, in percent, that a use of a limit has reached and had not before; of zero, by the first nano."""
    return [
        percent
        for percent in THRESHOLDS_PERCENT
        if before_nano * 100 < max(1, percent * limit_nano) <= after_nano * 100
    ]
