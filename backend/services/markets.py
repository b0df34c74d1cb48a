"""Live prices and availability."""

from dataclasses import dataclass
from datetime import datetime

from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class MarketView:
    """A market now; slots of living nodes with an open offer."""

    resource_class: str
    region: str
    spot_nano_per_slot_s: int
    utilisation_ppm: int
    slots_free: int
    slots_live: int
    nodes: int


def list_prices(uow: UnitOfWork, now: datetime) -> list[MarketView]:
    """Every market with its spot price and what is free on it."""
    with uow:
        return [
            MarketView(
                s.market.resource_class,
                s.market.region,
                s.quoted_nano,
                s.supply.utilisation_ppm,
                s.supply.slots - s.supply.busy_slots,
                s.supply.slots,
                s.nodes,
            )
            for s in uow.markets.supplies(now)
        ]
