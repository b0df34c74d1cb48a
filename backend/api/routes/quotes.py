"""Quotes: what a workload would cost now; nothing is written."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone
from backend.api.wire.orders import Quote
from backend.api.wire.workloads import Workload
from backend.services import orders

router = APIRouter(prefix="/api/v1/quotes", tags=["workloads"])


@router.post("")
def quote(body: Workload, _: Anyone, market: Market, now: Now) -> Quote:
    """Where a workload would run and what it would cost, or the reason why it cannot be placed."""
    return Quote.of(orders.quote(market.uow(), now, body.request()))
