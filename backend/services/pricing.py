"""Pricing: each epoch moves every market's spot price with its utilisation, and keeps what it did and why."""

from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.errors import Invalid
from backend.domain.market_rules import check_market
from backend.domain.pricing import EPOCH_S, PRICE_POINTS_KEPT, PricePoint, next_move
from backend.domain.tiers import ResourceClass
from backend.services.markets import require_known
from backend.storage.markets import PricedSupply
from backend.storage.price_points import Stretch
from backend.storage.unit_of_work import UnitOfWork

EPOCH = timedelta(seconds=EPOCH_S)
FORGET_BATCH_MAX = 5_000
HISTORY_MAX = 1_000


def reprice(uow: UnitOfWork, now: datetime) -> int:
    """Move the price of every market whose epoch is over, in five statements; returns how many that are.

    A market's first price comes with its first ask. Several agents may call as often as they like.
    """
    with uow:
        if not uow.markets.lock_pricing():
            return 0
        due = [supply for supply in uow.markets.supplies(now) if _due(supply, now)]
        if not due:
            return 0
        waiting = uow.markets.waiting_slots()
        points = [_move(priced, waiting.get(priced.market, 0), now) for priced in due]
        uow.markets.set_spots({p.market: (p.spot_nano_per_slot_s, p.utilisation_ppm) for p in points}, now)
        uow.price_points.add(points)
        uow.commit()
    return len(due)


def price_history(uow: UnitOfWork, stretch: Stretch, limit: int = 100) -> list[PricePoint]:
    """Spot prices as they were, newest first, with what moved them; raises Invalid, or NotFound for no market."""
    check_part(stretch.resource_class, stretch.region)
    if stretch.since and stretch.before and stretch.before <= stretch.since:
        raise Invalid(
            f"no time is from {stretch.since.isoformat()} on and before {stretch.before.isoformat()}",
            code="invalid_before",
            field="before",
            accepted="a later time than that from which on",
        )
    if not 1 <= limit <= HISTORY_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {HISTORY_MAX}")
    with uow:
        found = uow.price_points.newest(stretch, limit)
        if not found:
            require_known(uow, stretch.resource_class, stretch.region)
    return found


def check_part(resource_class: str | None, region: str | None) -> None:
    """Raise Invalid if no market can be of that class or region: an answer with nothing in it would say too little."""
    check_market(resource_class or ResourceClass.CLOUD, region or "any")


def forget_prices(uow: UnitOfWork, now: datetime, limit: int = FORGET_BATCH_MAX) -> int:
    """Delete up to `limit` points that are older than PRICE_POINTS_KEPT; returns how many were."""
    with uow:
        forgotten = uow.price_points.forget(now - PRICE_POINTS_KEPT, limit)
        uow.commit()
    return forgotten


def _move(priced: PricedSupply, waiting_slots: int, now: datetime) -> PricePoint:
    supply = replace(priced.supply, waiting_slots=waiting_slots)
    move = next_move(priced.spot_nano, supply, priced.control)
    return PricePoint(
        priced.market, now, move.spot_nano, supply.utilisation_ppm, supply.slots, supply.busy_slots, move.cause
    )


def _due(priced: PricedSupply, now: datetime) -> bool:
    if priced.priced_at is None:
        return priced.supply.lowest_ask_nano is not None
    return now - priced.priced_at >= EPOCH
