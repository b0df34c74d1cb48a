"""Prices: every market's spot price and what is free on it."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone
from backend.api.wire.prices import Price
from backend.services import markets

router = APIRouter(prefix="/api/v1/prices", tags=["prices"])


@router.get("")
def list_prices(_: Anyone, market: Market, now: Now) -> list[Price]:
    """All markets."""
    return [Price.of(view) for view in markets.list_prices(market.uow(), now)]
