"""Prices: every market's spot price and what is free on it, now and as it was."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.ledger import Moment
from backend.api.wire.markets import PricePoint
from backend.api.wire.prices import Price
from backend.services import markets, pricing
from backend.storage.price_points import Stretch

router = APIRouter(prefix="/api/v1/prices", tags=["prices"])


@router.get("")
def list_prices(_: Anyone, market: Market, now: Now) -> list[Price]:
    """All markets."""
    return [Price.of(view) for view in markets.list_prices(market.uow(), now)]


@router.get("/history")
def list_history(
    _: Anyone,
    market: Market,
    resource_class: Text | None = None,
    region: Text | None = None,
    since: Moment | None = None,
    before: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=pricing.HISTORY_MAX)] = 100,
) -> list[PricePoint]:
    """Spot prices as each epoch set them and why, newest first; of one class, one region, one stretch of time."""
    stretch = Stretch(resource_class, region, since, before)
    return [PricePoint.of(point) for point in pricing.price_history(market.uow(), stretch, limit)]
