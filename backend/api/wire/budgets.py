"""Budgets and alerts on the wire."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, CreditsOrZero, Id, Text, Wire
from backend.domain.budgets import Budget as StoredBudget
from backend.domain.budgets import BudgetMode, BudgetPeriod
from backend.domain.ids import AccountId
from backend.domain.money import format_credits
from backend.domain.tiers import TierName
from backend.services.budgets import BudgetWish
from backend.storage.alerts import Alert as StoredAlert


def _words(words: type[BudgetPeriod] | type[BudgetMode] | type[TierName]) -> dict[str, Any]:
    return {"enum": [word.value for word in words]}


class NewBudget(Wire):
    """A limit on what an account sets aside, per request, job, day or month; hard ones refuse, soft ones only tell."""

    account: Id | None = Field(default=None, description="The caller's own, unless given.")
    everyone: bool = Field(default=False, description="For every account by itself; admins only.")
    period: Annotated[Text, Field(json_schema_extra=_words(BudgetPeriod))]
    amount: CreditsOrZero
    tier: Annotated[Text, Field(json_schema_extra=_words(TierName))] | None = None
    member: Id | None = Field(default=None, description="Only what this member of the organisation spends.")
    mode: Annotated[Text, Field(json_schema_extra=_words(BudgetMode))] = "hard"
    timezone: Text = Field(default="UTC", description="Where days and months begin.", examples=["Europe/Berlin"])

    def wish(self) -> BudgetWish:
        """The budget as the service takes it."""
        member = AccountId(self.member) if self.member else None
        return BudgetWish(self.period, self.amount, self.tier, member, self.mode, self.timezone)


class Budget(Answer):
    """A budget and what is used of it; without an account it is everybody's."""

    id: UUID
    account: UUID | None
    member: UUID | None
    period: str
    tier: str | None
    mode: str
    amount: Amount
    used: Amount | None = Field(description="Held or charged in this period; none for requests and jobs.")
    left: Amount | None
    used_percent: float | None
    timezone: str
    since: datetime | None
    resets_at: datetime | None

    @classmethod
    def of(cls, budget: StoredBudget) -> Self:
        """The wire form of a budget."""
        lasts = budget.since is not None
        return cls(
            id=budget.id,
            account=budget.account_id,
            member=budget.member_id,
            period=budget.period,
            tier=budget.tier,
            mode=budget.mode,
            amount=format_credits(budget.limit_nano),
            used=format_credits(budget.used_nano) if lasts else None,
            left=format_credits(budget.left_nano) if lasts else None,
            used_percent=budget.used_percent if lasts else None,
            timezone=budget.timezone,
            since=budget.since,
            resets_at=budget.until,
        )


class Alert(Answer):
    """A threshold that was gone over: once per budget or wallet, period and percentage."""

    id: UUID
    kind: str
    subject: UUID = Field(description="The budget, or the account whose wallet it is.")
    account: UUID
    percent: int
    limit: Amount
    used: Amount
    since: datetime
    created_at: datetime

    @classmethod
    def of(cls, alert: StoredAlert) -> Self:
        """The wire form of an alert."""
        return cls(
            id=alert.id,
            kind=alert.kind,
            subject=alert.subject_id,
            account=alert.account_id,
            percent=alert.percent,
            limit=format_credits(alert.limit_nano),
            used=format_credits(alert.used_nano),
            since=alert.since,
            created_at=alert.created_at,
        )


class AlertList(Answer):
    """Alerts, newest first; `next_before` continues the list, None at its end."""

    alerts: list[Alert]
    next_before: UUID | None
