"""Regions: how far they are from one another."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone
from backend.api.wire.regions import Link, NewLink
from backend.services import regions

router = APIRouter(prefix="/api/v1/regions", tags=["prices"])


@router.get("/links")
def list_links(_: Anyone, market: Market) -> list[Link]:
    """Every pair of regions whose distance is known; others count as far apart."""
    return [Link.of(link) for link in regions.list_links(market.uow())]


@router.put("/links")
def put_link(body: NewLink, caller: Admin, market: Market, now: Now) -> Link:
    """State how far two regions are from one another."""
    return Link.of(regions.put_link(market.uow(), now, caller, body.region, body.other, body.latency_ms))


@router.delete("/links/{region}/{other}")
def drop_link(region: str, other: str, caller: Admin, market: Market, now: Now) -> Link:
    """Forget how far two regions are from one another; they count as far apart again."""
    return Link.of(regions.drop_link(market.uow(), now, caller, region, other))
