"""Which markets there are, with live prices and availability."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import NotFound
from backend.domain.pricing import Market
from backend.storage.unit_of_work import UnitOfWork

KNOWN_SHOWN_MAX = 20


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


def known_markets(uow: UnitOfWork) -> list[Market]:
    """Every market that a node is or was in."""
    with uow:
        return uow.markets.known()


def require_known(uow: UnitOfWork, resource_class: str | None, region: str | None) -> None:
    """Raise NotFound for a market, class or region that no node is or was in, inside an open unit of work.

    Whoever finds nothing asks this, so that a mistyped name does not look like a quiet market.
    """
    known = uow.markets.known()
    if resource_class and region and Market(resource_class, region) not in known:
        field = "resource_class" if region in {market.region for market in known} else "region"
        raise NotFound("market", f"{resource_class}/{region}", field=field, accepted=_listed(map(str, known)))
    if region and region not in {market.region for market in known}:
        raise NotFound("region", region, accepted=_listed(market.region for market in known))


def _listed(names: Iterable[str]) -> str:
    distinct = sorted(set(names))
    more = ", …" if len(distinct) > KNOWN_SHOWN_MAX else ""
    return ", ".join(distinct[:KNOWN_SHOWN_MAX]) + more or "none until a node is registered"
