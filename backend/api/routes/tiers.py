"""Tiers: what each size of customer may use, and what it is promised."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone
from backend.api.wire.tiers import CurrentTier, NewTier, TierSettings
from backend.services import tiers

router = APIRouter(prefix="/api/v1/tiers", tags=["tiers"])


@router.get("")
def list_tiers(_: Anyone, market: Market, now: Now) -> list[CurrentTier]:
    """Each tier as it is now, the smallest first."""
    return [CurrentTier.now(*found) for found in tiers.list_with_fees(market.uow(), now)]


@router.get("/{name}/versions")
def list_versions(name: str, _: Anyone, market: Market) -> list[TierSettings]:
    """Every version of a tier, also those that are over or still to come."""
    return [TierSettings.of(version) for version in tiers.list_versions(market.uow(), name)]


@router.post("/{name}", status_code=201)
def set_tier(name: str, body: NewTier, caller: Admin, market: Market, now: Now) -> TierSettings:
    """Change a tier for orders that are placed from a moment on; a monthly cap changes at once."""
    return TierSettings.of(tiers.set_tier(market.uow(), now, caller, name, body.changes(), body.valid_from))
