"""Pricing: each epoch moves every market's spot price with its utilisation."""

from datetime import datetime, timedelta

from backend.domain.pricing import EPOCH_S, next_spot
from backend.storage.markets import PricedSupply
from backend.storage.unit_of_work import UnitOfWork

EPOCH = timedelta(seconds=EPOCH_S)


def reprice(uow: UnitOfWork, now: datetime) -> int:
    """Move the price of every market whose epoch is over, in three statements; returns how many that are.

    A market's first price comes with its first ask. Several agents may call as often as they like.
    """
    with uow:
        if not uow.markets.lock_pricing():
            return 0
        due = [supply for supply in uow.markets.supplies(now) if _due(supply, now)]
        uow.markets.set_spots(
            {s.market: (next_spot(s.spot_nano, s.supply), s.supply.utilisation_ppm) for s in due}, now
        )
        uow.commit()
    return len(due)


def _due(priced: PricedSupply, now: datetime) -> bool:
    if priced.priced_at is None:
        return priced.supply.lowest_ask_nano is not None
    return now - priced.priced_at >= EPOCH
