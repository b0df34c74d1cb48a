"""Meters: what other systems may report the use of, and its price over time."""

from typing import Annotated

from fastapi import APIRouter, Path

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Admin, Anyone
from backend.api.wire.base import Text
from backend.api.wire.metering import Meter, MeterPrice, NewMeter, NewPrice, Rerated, RerateRequest, SetPrice
from backend.domain.ids import AccountId
from backend.services import meters, rating

router = APIRouter(prefix="/api/v1/meters", tags=["usage"])
Name = Annotated[Text, Path()]


@router.post("", status_code=201)
def add_meter(body: NewMeter, caller: Admin, market: Market, now: Now) -> Meter:
    """Count something from now on, at a first price that holds for late events too."""
    provider = AccountId(body.provider) if body.provider else None
    return Meter.of(meters.add_meter(market.uow(), now, caller, body.name, body.unit, body.price, provider))


@router.get("")
def list_meters(_: Anyone, market: Market, now: Now) -> list[Meter]:
    """Every meter and its price now."""
    return [Meter.of(view) for view in meters.list_meters(market.uow(), now)]


@router.get("/{name}/prices")
def list_meter_prices(name: Name, _: Anyone, market: Market) -> list[MeterPrice]:
    """Every version of a meter's price."""
    return [MeterPrice.of(price) for price in meters.list_prices(market.uow(), name)]


@router.post("/{name}/prices", status_code=201)
def set_meter_price(name: Name, body: NewPrice, caller: Admin, once: Once, market: Market, now: Now) -> SetPrice:
    """Set a price from a moment on; usage since then is corrected, where payer and payee have the money for it."""
    price, done = meters.set_price(market.uow(), now, caller, name, body.price, body.valid_from, once)
    return SetPrice(price=MeterPrice.of(price), rerated=Rerated.of(done))


@router.post("/{name}/rerate")
def rerate(name: Name, body: RerateRequest, caller: Admin, market: Market, now: Now) -> Rerated:
    """Try again what was left, or go on where a price stopped; a second time changes nothing."""
    return Rerated.of(rating.rerate(market.uow(), now, caller, name, body.since))
