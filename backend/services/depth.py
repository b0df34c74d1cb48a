"""What is open on the markets: depth for everybody, the whole book for admins."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.depth import Band, sealed
from backend.domain.errors import Invalid
from backend.domain.pricing import Market
from backend.services.markets import require_known
from backend.services.pricing import check_part
from backend.storage.depth import BookOffer, BookOrder
from backend.storage.unit_of_work import UnitOfWork

BOOK_MAX = 5_000


@dataclass(frozen=True, slots=True)
class MarketDepth:
    """A market's free slots by the asks for them and its waiting demand by its limits, around the spot price."""

    market: Market
    spot_nano_per_slot_s: int
    slots_free: int
    free: tuple[Band, ...]
    waiting: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class MarketBook:
    """Open orders and offers with their limits and asks; `complete` unless either was cut off."""

    orders: list[BookOrder]
    offers: list[BookOffer]
    complete: bool


def market_depth(uow: UnitOfWork, now: datetime, market: Market | None = None) -> list[MarketDepth]:
    """Depth of every market that has a price, or of one, in three statements; no single limit or ask can be told.

    Raises NotFound for a market that is not.
    """
    with uow:
        free, waiting = uow.depth.free(now), uow.depth.waiting()
        found = [
            MarketDepth(
                s.market,
                s.spot_nano,
                s.supply.slots - s.supply.busy_slots,
                sealed(free.get(s.market, [])),
                sealed(waiting.get(s.market, [])),
            )
            for s in uow.markets.supplies(now)
            if s.spot_nano is not None and market in (None, s.market)
        ]
        if market and not found:
            require_known(uow, market.resource_class, market.region)
    return found


def market_book(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    resource_class: str | None = None,
    region: str | None = None,
    limit: int = BOOK_MAX,
) -> MarketBook:
    """Up to `limit` open orders and as many offers, of one class or region or all.

    Raises Forbidden, Invalid, or NotFound for a market that is not.
    """
    principal.require(Role.ADMIN)
    check_part(resource_class, region)
    if not 1 <= limit <= BOOK_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {BOOK_MAX}")
    with uow:
        orders = uow.depth.orders(resource_class, region, limit + 1)
        offers = uow.depth.offers(resource_class, region, now, limit + 1)
        if not orders and not offers:
            require_known(uow, resource_class, region)
    return MarketBook(orders[:limit], offers[:limit], max(len(orders), len(offers)) <= limit)
