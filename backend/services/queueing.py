"""Who goes first in a market where not everybody can: reserved shares of tiers, dominant shares of accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from backend.domain.auctions import Ask, Bid
from backend.domain.fairness import Demand, shares_before
from backend.domain.machines import NO_NEEDS, needs_of
from backend.domain.money import PPM
from backend.domain.orders import SESSION
from backend.domain.pricing import Market
from backend.domain.tiers import TIERS, Tier, TierName
from backend.storage.leases import Held
from backend.storage.markets import Capacity
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork


def queue(
    uow: UnitOfWork, now: datetime, market: Market, orders: Sequence[Order], asks: Sequence[Ask]
) -> tuple[list[Bid], dict[int, int]]:
    """The bids of these orders with their accounts' shares, and the slots that tiers go first for, by rank.

    Both matter only where more is wanted than is free; else nothing is asked of the database.
    """
    if sum(order.slots for order in orders) <= sum(ask.slots for ask in asks):
        return [order.bid() for order in orders], {}
    held, capacity, tiers = uow.leases.held(market), uow.markets.capacity(market, now), uow.tiers.current(now)
    shares = shares_before(
        [_demand(order, tiers[order.tier].weight) for order in orders],
        capacity,
        [_holding(h, tiers[h.tier].weight) for h in held],
    )
    bids = [order.bid(share) for order, share in zip(orders, shares, strict=True)]
    return bids, _reserved(orders, held, capacity, tiers)


def dialled_only(uow: UnitOfWork, orders: Sequence[Order], bids: Sequence[Bid], asks: Sequence[Ask]) -> list[Bid]:
    """The same bids, but those of sessions take no node that nobody can dial: a gateway would wait for it in vain."""
    sessions = {order.id for order in orders if order.workload == SESSION}
    undialled = uow.joining.remote_among([ask.node_id for ask in asks]) if sessions else ()
    if not undialled:
        return list(bids)
    return [
        replace(bid, needs=replace(bid.needs, never=tuple(sorted({*bid.needs.never, *undialled}))))
        if bid.order_id in sessions
        else bid
        for bid in bids
    ]


def _reserved(
    orders: Sequence[Order], held: Sequence[Held], capacity: Capacity, tiers: Mapping[TierName, Tier]
) -> dict[int, int]:
    """What tiers with waiting orders are short of, of the shares of all slots that are reserved for them."""
    short = {
        name: tiers[name].reserved_ppm * capacity.slots // PPM - sum(h.slots for h in held if h.tier == name)
        for name in {order.tier for order in orders}
    }
    return {TIERS[name].rank: slots for name, slots in short.items() if slots > 0}


def _holding(held: Held, weight: int) -> Demand:
    return Demand(held.account_id, (held.slots, held.cores, held.memory_mb, held.accelerators), weight)


def _demand(order: Order, weight: int) -> Demand:
    needs = needs_of(order.needs) if order.needs else NO_NEEDS
    each = (1, needs.cores, needs.memory_mb, needs.accelerators)
    return Demand(order.account_id, tuple(order.slots * amount for amount in each), weight)
