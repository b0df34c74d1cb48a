"""Fees: what the market keeps of a charge, by tier."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone
from backend.api.wire.fees import Fee, NewFee
from backend.services import fees

router = APIRouter(prefix="/api/v1/fees", tags=["fees"])


@router.get("")
def list_fees(_: Anyone, market: Market) -> list[Fee]:
    """Every version of every tier's fee, also those that are over or still to come."""
    return [Fee.of(version) for version in fees.list_fees(market.uow())]


@router.post("", status_code=201)
def set_fee(body: NewFee, caller: Admin, market: Market, now: Now) -> Fee:
    """Set a tier's fee for orders that are placed from a moment on; what is placed already keeps its own."""
    return Fee.of(fees.set_fee(market.uow(), now, caller, body.tier, body.fee_ppm, body.valid_from))
