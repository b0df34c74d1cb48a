"""Who goes first in a market where not everybody can: reserved shares of tiers, shares of accounts, and age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from backend.domain.ageing import Emptying, Queueing, emptying, payable, reserved_slots
from backend.domain.auctions import AGED, Ask, Bid, Miss, Unmatched
from backend.domain.fairness import Demand, shares_before
from backend.domain.ids import NodeId
from backend.domain.machines import NO_NEEDS, needs_of
from backend.domain.money import PPM
from backend.domain.pricing import Market
from backend.domain.tiers import TIERS, Tier, TierName
from backend.storage.leases import Held
from backend.storage.markets import Capacity
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

KEPT = "kept_free"  # in an order's hint: the node that empties for it


@dataclass(frozen=True, slots=True)
class Standing:
    """What a market has and who holds how much of it, by account and tier."""

    held: Sequence[Held]
    capacity: Capacity
    tiers: Mapping[TierName, Tier]

    @staticmethod
    def of(uow: UnitOfWork, now: datetime, market: Market) -> "Standing":
        """As it is now."""
        return Standing(uow.leases.held(market), uow.markets.capacity(market, now), uow.tiers.current(now))


def queue(
    uow: UnitOfWork,
    now: datetime,
    market: Market,
    orders: Sequence[Order],
    bids: Sequence[Bid],
    asks: Sequence[Ask],
    spot_nano: int,
) -> tuple[list[Bid], dict[int, int]]:
    """The bids of these orders with their accounts' shares, and the slots that tiers go first for, by rank.

    Both matter only where more is wanted than is free; else nothing is asked of the database.
    """
    if sum(order.slots for order in orders) <= sum(ask.slots for ask in asks):
        return list(bids), {}
    return in_line(Standing.of(uow, now, market), now, orders, bids, asks, spot_nano)


def in_line(
    standing: Standing,
    now: datetime,
    orders: Sequence[Order],
    bids: Sequence[Bid],
    asks: Sequence[Ask],
    spot_nano: int,
) -> tuple[list[Bid], dict[int, int]]:
    """The same where more is wanted than is free; a bid an order, in the same order."""
    shares = shares_before(
        [_demand(order, standing.tiers[order.tier].weight) for order in orders],
        standing.capacity,
        [_holding(h, standing.tiers[h.tier].weight) for h in standing.held],
    )
    placed = [replace(bid, share_ppm=share) for bid, share in zip(bids, shares, strict=True)]
    return placed, _reserved(standing, now, orders, bids, asks, spot_nano)


def keep_free(
    now: datetime, market: Market, orders: Sequence[Order], bids: Sequence[Bid], asks: Sequence[Ask], spot_nano: int
) -> Emptying | None:
    """The node that a market empties for the first order for whole nodes that has aged and found none on its way."""
    waiting = [
        (order, bid)
        for order, bid in zip(orders, bids, strict=True)
        if bid.needs.dedicated and order.placed_at <= now - AGED and has_looked_around(order, market)
    ]
    before = {
        order.id: NodeId(UUID(str(order.hint[KEPT])))
        for order, _ in waiting
        if order.reason and order.hint and KEPT in order.hint  # without a reason it has run since
    }
    waiting.sort(key=lambda pair: (pair[0].id not in before, pair[0].placed_at, pair[0].id))
    return emptying([bid for _, bid in waiting], asks, spot_nano, before)


def withheld(kept: Emptying, bids: Sequence[Bid], asks: Sequence[Ask]) -> tuple[list[Bid], list[Ask]]:
    """The bids and asks of an auction in which a node empties for an order: not offered, until it is idle.

    Then it is, and no other order for whole nodes may take it; those for slots come after these anyway.
    """
    idle = any(ask.node_id == kept.node_id and ask.machine and not ask.machine.busy_slots for ask in asks)
    if not idle:
        return list(bids), [ask for ask in asks if ask.node_id != kept.node_id]
    others = [
        _never(bid, (kept.node_id,)) if bid.needs.dedicated and bid.order_id != kept.order_id else bid for bid in bids
    ]
    return others, list(asks)


def where_served(bids: Sequence[Bid], asks: Sequence[Ask]) -> tuple[list[Bid], list[Ask]]:
    """The bids and asks of an auction in which nobody is given a node that does not serve what they run.

    Nodes that serve nothing of what is wanted are not offered.
    """
    if all(ask.serves is None for ask in asks):
        return list(bids), list(asks)
    wanted = {bid.model_id for bid in bids}
    offered = [ask for ask in asks if ask.serves is None or ask.serves & wanted]
    never = {
        model: tuple(ask.node_id for ask in offered if ask.serves is not None and model not in ask.serves)
        for model in wanted
    }
    return [_never(bid, never[bid.model_id]) if never[bid.model_id] else bid for bid in bids], offered


def own_miss(miss: Miss, order: Order) -> Miss:
    """Why an order got nothing, in its owner's terms: that nodes do not serve its model is no need that it stated."""
    if not miss.shortfalls or needs_of(order.needs).never:
        return miss
    own = tuple(short for short in miss.shortfalls if short.need != "never")
    return replace(miss, shortfalls=own) if own else Miss(Unmatched.NO_CAPACITY)


def amounts_of(order: Order, slots: int) -> tuple[int, int, int, int]:
    """What so many slots of an order take of a market's capacity: slots, cores, memory and accelerators."""
    needs = needs_of(order.needs) if order.needs else NO_NEEDS
    return slots, slots * needs.cores, slots * needs.memory_mb, slots * needs.accelerators


def has_looked_around(order: Order, market: Market) -> bool:
    """Whether an order has come to the last of its markets and found nothing in the others."""
    return order.markets[-1] == str(market) and (len(order.markets) == 1 or order.reason is not None)


def _never(bid: Bid, nodes: Sequence[NodeId]) -> Bid:
    return replace(bid, needs=replace(bid.needs, never=tuple(sorted({*bid.needs.never, *nodes}))))


def _reserved(
    standing: Standing,
    now: datetime,
    orders: Sequence[Order],
    bids: Sequence[Bid],
    asks: Sequence[Ask],
    spot_nano: int,
) -> dict[int, int]:
    """What tiers with waiting orders are short of, of the shares of all slots that are reserved for them."""
    wanted: dict[TierName, int] = {}
    aged: dict[TierName, datetime] = {}
    for order, bid, can_pay in zip(orders, bids, payable(bids, asks, spot_nano), strict=True):
        if not can_pay or bid.needs.dedicated:  # who wants whole nodes has been served before
            continue
        wanted[order.tier] = wanted.get(order.tier, 0) + order.slots
        has_had_its_turn = order.interruptible and order.started_at  # else it would come back at once, again and again
        if order.placed_at <= now - AGED and not has_had_its_turn:
            aged[order.tier] = min(order.placed_at, aged.get(order.tier, order.placed_at))
    tiers = {
        TIERS[name].rank: Queueing(
            standing.tiers[name].reserved_ppm * standing.capacity.slots // PPM,
            sum(h.slots for h in standing.held if h.tier == name),
            slots,
            aged.get(name),
        )
        for name, slots in wanted.items()
    }
    return reserved_slots(tiers, sum(ask.slots for ask in asks))


def _holding(held: Held, weight: int) -> Demand:
    return Demand(held.account_id, (held.slots, held.cores, held.memory_mb, held.accelerators), weight)


def _demand(order: Order, weight: int) -> Demand:
    return Demand(order.account_id, amounts_of(order, order.slots), weight)
