"""Budgets: set by who manages an account, seen by all who spend from it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, account_of
from backend.api.wire.budgets import Alert, AlertList, Budget, NewBudget
from backend.domain.access import Role
from backend.domain.ids import AccountId, AlertId, BudgetId
from backend.services import alerts, budgets

router = APIRouter(prefix="/api/v1", tags=["budgets"])


@router.post("/budgets", status_code=201)
def set_budget(body: NewBudget, caller: Anyone, market: Market, now: Now) -> Budget:
    """Limit what an account sets aside; one for the same period, tier, member and mode gets the new limit."""
    account = None if body.everyone else AccountId(body.account or caller.account_id)
    return Budget.of(budgets.set_budget(market.uow(), now, caller, account, body.wish()))


@router.get("/budgets")
def list_budgets(caller: Anyone, market: Market, now: Now, account: UUID | None = None) -> list[Budget]:
    """What the caller's account is held to, and what of it is used; everybody's budgets are the tiers' caps."""
    return [Budget.of(found) for found in budgets.list_budgets(market.uow(), now, account_of(caller, account))]


@router.post("/budgets/{budget_id}/end")
def end_budget(budget_id: UUID, caller: Anyone, market: Market, now: Now) -> Budget:
    """Let a budget limit nothing any more."""
    return Budget.of(budgets.end_budget(market.uow(), now, caller, BudgetId(budget_id)))


@router.get("/alerts")
def list_alerts(
    caller: Anyone,
    market: Market,
    limit: Annotated[int, Query(ge=1, le=alerts.ALERTS_MAX)] = 100,
    before: UUID | None = None,
    account: UUID | None = None,
) -> AlertList:
    """Thresholds that the caller's budgets and wallet went over, newest first; to admins, everybody's or one's."""
    whose = None if caller.role is Role.ADMIN and account is None else account_of(caller, account)
    found = alerts.list_alerts(market.uow(), whose, limit, AlertId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return AlertList(alerts=[Alert.of(alert) for alert in found], next_before=following)
