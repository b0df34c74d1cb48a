"""Meters and their prices: set by admins; a price that begins in the past rates what was used since then anew."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, NotFound
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId
from backend.domain.metering import (
    METERS_MAX,
    PRICES_FROM,
    PRICES_MAX,
    Meter,
    MeterPrice,
    check_meter,
    check_price,
    price_at,
    spans,
)
from backend.services import log
from backend.services.accounts import find_account
from backend.services.idempotency import once
from backend.services.rating import Rerated, rerate
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class MeterView:
    """A meter and what it costs now."""

    meter: Meter
    price: MeterPrice


@patient
def add_meter(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    name: str,
    unit: str,
    nano_per_unit: int,
    provider_id: AccountId | None = None,
) -> MeterView:
    """Count something from now on, at a first price that holds for late events too, however old they are.

    Raises Invalid, NotFound for a provider that does not exist, Conflict(`meter_exists`, `too_many_meters`).
    """
    principal.require(Role.ADMIN)
    check_meter(name, unit)
    check_price(nano_per_unit, PRICES_FROM)
    with uow:
        if provider_id:
            find_account(uow, provider_id)
        if len(uow.metering.all_meters()) >= METERS_MAX:
            raise Conflict(f"there are {METERS_MAX} meters", code="too_many_meters", field="name")
        meter = Meter(name, unit, provider_id, now)
        if not uow.metering.add_meter(meter):
            raise Conflict(f"meter {name} exists", code="meter_exists", field="name", accepted="a free name")
        price = MeterPrice(name, 1, nano_per_unit, PRICES_FROM, now)
        uow.metering.add_price(price)
        log.record(
            uow,
            now,
            principal,
            "meter.add",
            f"meter {name}",
            unit=unit,
            nano_per_unit=nano_per_unit,
            provider=provider_id,
        )
        uow.commit()
    return MeterView(meter, price)


def list_meters(uow: UnitOfWork, now: datetime) -> list[MeterView]:
    """Every meter, by name."""
    with uow:
        meters = uow.metering.all_meters()
        prices = uow.metering.prices([meter.name for meter in meters])
    return [MeterView(meter, price_at(spans(prices[meter.name]), now)) for meter in meters]


def list_prices(uow: UnitOfWork, meter: str) -> list[MeterPrice]:
    """Every version of a meter's price, also those that are over or still to come; raises NotFound."""
    with uow:
        found = uow.metering.prices([meter])
    if not found:
        raise _unknown(meter)
    return found[meter]


def set_price(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    meter: str,
    nano_per_unit: int,
    valid_from: datetime | None = None,
    idempotency: Idempotency | None = None,
) -> tuple[MeterPrice, Rerated]:
    """Set a price from a moment on, now if none is named, and rate anew what was used since then.

    Raises Forbidden, Invalid, NotFound or Conflict(`too_many_prices`).
    """
    price = _add_price(uow, now, principal, meter, nano_per_unit, valid_from or now, idempotency)
    return price, rerate(uow, now, principal, meter, price.valid_from)


@patient
def _add_price(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    name: str,
    nano_per_unit: int,
    valid_from: datetime,
    idempotency: Idempotency | None,
) -> MeterPrice:
    principal.require(Role.ADMIN)
    check_price(nano_per_unit, valid_from)

    def do() -> MeterPrice:
        if uow.metering.lock_meter(name) is None:  # usage that is being rated by the old prices is waited for
            raise _unknown(name)
        version = uow.metering.prices([name])[name][-1].version + 1
        if version > PRICES_MAX:
            raise Conflict(f"meter {name} has {PRICES_MAX} prices", code="too_many_prices", field="price")
        price = MeterPrice(name, version, nano_per_unit, valid_from, now)
        uow.metering.add_price(price)
        log.record(
            uow,
            now,
            principal,
            "meter.price",
            f"meter {name}",
            version=version,
            nano_per_unit=nano_per_unit,
            valid_from=valid_from,
        )
        return price

    with uow:
        price = once(uow, principal.account_id, idempotency, now, MeterPrice, do)
        uow.commit()
    return price


def _unknown(meter: str) -> NotFound:
    return NotFound("meter", meter, accepted="the name of a meter")
