"""Statements of what providers earned, and of what users paid by the request."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, Provider, account_of
from backend.api.wire.base import Text
from backend.api.wire.invoices import Day
from backend.api.wire.statements import EarningsStatement, RequestsStatement
from backend.domain.periods import period_of
from backend.services import allowance_reports, earnings

router = APIRouter(prefix="/api/v1/ledger", tags=["ledger"])


@router.get("/earnings-statement")
def show_earnings(
    caller: Provider,
    market: Market,
    now: Now,
    account: UUID | None = None,
    month: Text | None = None,
    first: Annotated[Day | None, Query(alias="from")] = None,
    end: Annotated[Day | None, Query(alias="to")] = None,
    timezone: Text = "UTC",
) -> EarningsStatement:
    """What earnings did in a month (this one, if none is named) or in the days from `from` up to, but without, `to`."""
    period = period_of(now, timezone, month, first, end)
    found = earnings.statement(market.uow(), caller, account_of(caller, account), period)
    return EarningsStatement.of(found)


@router.get("/requests-statement")
def show_requests(
    caller: Anyone,
    market: Market,
    now: Now,
    account: UUID | None = None,
    month: Text | None = None,
    first: Annotated[Day | None, Query(alias="from")] = None,
    end: Annotated[Day | None, Query(alias="to")] = None,
    timezone: Text = "UTC",
) -> RequestsStatement:
    """What real-time requests of tier small cost by day and model: requests, busy seconds and credits."""
    period = period_of(now, timezone, month, first, end)
    owner = account_of(caller, account)
    return RequestsStatement.of(owner, period, allowance_reports.days_of_use(market.uow(), owner, caller, period))
