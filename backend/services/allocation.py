"""Allocation: clear a market's auction, grant leases, and put the work of the winners into units."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from backend.domain.ageing import Emptying
from backend.domain.allowances import POOL_ID
from backend.domain.auctions import DEFAULT_MECHANISM, Ask, Book, Clearing, Fill, Miss
from backend.domain.events import Event, Topic
from backend.domain.ids import EpochId, LeaseId, NodeId, OrderId, TradeId, WindowId
from backend.domain.leases import WINDOW_S
from backend.domain.money import format_credits
from backend.domain.orders import SESSION, CloseReason, OrderState
from backend.domain.pricing import Control, Market, Supply, next_spot
from backend.domain.work import (
    PROFILE_FACTOR,
    UNIT_ITEMS_MAX,
    UNIT_US_MAX,
    UNITS_PER_SLOT_MAX,
    Room,
    WaitingItem,
    pack,
    share,
)
from backend.messaging.queues import TIER_PRIORITY
from backend.messaging.spans import clock_ns, finished
from backend.services.epochs import clear_book, log_clearing
from backend.services.preemption import Cleared, give_notice
from backend.services.queueing import KEPT, keep_free, own_miss, queue, where_served, withheld
from backend.storage.ids import new_id
from backend.storage.leases import Grant, OpenLease
from backend.storage.order_rows import Order
from backend.storage.orders import Move
from backend.storage.sessions import Window
from backend.storage.unit_of_work import UnitOfWork

EPOCH_ORDERS_MAX = 1_000
RESEND_AFTER = timedelta(seconds=5)
DISPATCH_ORDERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Epoch:
    """What clearing did: the orders that won a lease, and how many moved on to a market that may suit them."""

    leased: frozenset[OrderId] = frozenset()
    moved_on: int = 0

    @property
    def advanced(self) -> int:
        """How many orders got anywhere."""
        return len(self.leased) + self.moved_on


def clear_markets(new_uow: Callable[[], UnitOfWork], now: datetime) -> Epoch:
    """Clear every market that has open orders, one transaction each; returns what came of all of them.

    The holds of the leased orders are for the caller to lower (`services.holds`), at leisure.
    """
    with new_uow() as uow:
        markets = uow.orders.open_markets()
    epochs = [clear_market(new_uow(), now, market) for market in markets]
    return Epoch(frozenset().union(*(e.leased for e in epochs)), sum(e.moved_on for e in epochs))


def clear_market(uow: UnitOfWork, now: datetime, market: Market) -> Epoch:
    """One epoch of one market, in a constant number of statements; empty when another agent is at it."""
    started_ns = clock_ns()
    with uow:
        if not uow.orders.lock_market(market):
            return Epoch()
        orders = uow.orders.lock_open(market, now, EPOCH_ORDERS_MAX)
        if not orders:
            return Epoch()
        asks = uow.offers.lock_open(market, now)
        rule = uow.market_rules.of(market)
        spot = uow.markets.spot(market) or _first_spot(asks, rule.control)
        bids, asks = where_served([order.bid() for order in orders], asks)
        # Under other rules what a node has free could go to orders for slots before the one that it empties for.
        kept = keep_free(now, market, orders, bids, asks, spot) if rule.mechanism == DEFAULT_MECHANISM else None
        if kept:
            bids, asks = withheld(kept, bids, asks)
        bids, reserved = queue(uow, now, market, orders, bids, asks, spot)
        book = Book.of(bids, asks, spot, now, reserved, reserve_nano=spot)
        epoch_id, clearing = clear_book(book, rule.mechanism)
        by_id = {order.id: order for order in orders}
        if clearing.fills:
            winners = _winners(uow, clearing.fills, by_id)
            with uow.sending():
                uow.orders.start(winners.ids, now)
                log_clearing(uow, now, market, rule.mechanism, epoch_id, clearing)
                _grant(uow, now, epoch_id, clearing.fills, by_id, winners)
        else:
            log_clearing(uow, now, market, rule.mechanism, epoch_id, clearing)
        cleared = Cleared(market, rule.mechanism, clearing, bids, asks, kept)
        waiting = give_notice(uow, now, cleared, by_id)
        without = {id_: by_id[id_] for id_ in clearing.unmatched if id_ not in waiting}
        advanced = _move_on(uow, now, market, clearing, without, kept)
        uow.emit(Event(Topic.ORDERS_CLEARED, str(market)))
        uow.commit()
    leased = frozenset(fill.order_id for fill in clearing.fills)
    traces = (by_id[order].traceparent for order in leased)
    finished("market.clear", started_ns, traces, swarmex__market=str(market), swarmex__leased=len(leased))
    return Epoch(leased, advanced)


def _first_spot(asks: Sequence[Ask], control: Control) -> int:
    """The price of a market that the pricing agent has not seen yet."""
    return next_spot(None, Supply(0, 0, min((ask.ask_nano for ask in asks), default=None)), control)


@dataclass(frozen=True, slots=True)
class _Winners:
    """Who gets leases, and what those depend on besides the auction: known before anything of them is written."""

    ids: Sequence[OrderId]
    queues: Mapping[NodeId, str]
    waiting: Mapping[OrderId, list[WaitingItem]]
    earlier: Sequence[OpenLease]


def _winners(uow: UnitOfWork, fills: Sequence[Fill], orders: Mapping[OrderId, Order]) -> _Winners:
    """Take the nodes' slots; with what waits of the winners' work, and the leases that they had before."""
    ids = list(dict.fromkeys(fill.order_id for fill in fills))
    again = [order for order in ids if orders[order].started_at]
    return _Winners(
        ids,
        uow.nodes.take(_slots_by_node(fills)),
        uow.work.waiting(ids),
        uow.leases.open_leases(again) if again else (),  # what is left of them has room too
    )


def _grant(
    uow: UnitOfWork,
    now: datetime,
    epoch_id: EpochId,
    fills: Sequence[Fill],
    orders: Mapping[OrderId, Order],
    winners: _Winners,
) -> None:
    """Trades and leases for the winners; work is dispatched, sessions begin their first window, if they pay by time."""
    granted = [
        (
            Grant(
                TradeId(new_id()),
                LeaseId(new_id()),
                fill.order_id,
                fill.offer_id,
                fill.node_id,
                fill.slots,
                fill.pays_nano,
                fill.earns_nano,
            ),
            orders[fill.order_id],
        )
        for fill in fills
    ]
    uow.leases.grant(epoch_id, [grant for grant, _ in granted], now)
    uow.nodes.remember_models({(grant.node_id, order.model_id) for grant, order in granted}, now)
    uow.sessions.add_windows(
        [
            Window(
                WindowId(new_id()),
                grant.lease_id,
                0,
                order.hold_id,
                now,
                now + timedelta(seconds=WINDOW_S),
                "open",
            )
            for grant, order in granted
            if order.workload == SESSION and order.account_id != POOL_ID
        ]
    )
    leases = [  # nothing can be queued on them yet
        OpenLease(
            grant.lease_id, order.id, winners.queues[grant.node_id], order.tier, grant.slots, 0, 0, order.traceparent
        )
        for grant, order in granted
    ]
    _fill(uow, now, [*winners.earlier, *leases], winners.waiting)
    uow.emit(Event(Topic.LEASES_GRANTED))


def _slots_by_node(fills: Iterable[Fill]) -> dict[NodeId, int]:
    slots: dict[NodeId, int] = {}
    for fill in fills:
        slots[fill.node_id] = slots.get(fill.node_id, 0) + fill.slots
    return slots


def _move_on(
    uow: UnitOfWork,
    now: datetime,
    market: Market,
    clearing: Clearing,
    orders: Mapping[OrderId, Order],
    kept: Emptying | None,
) -> int:
    """Send those of these orders that got nothing to their next market.

    After the last one they start over, or end if they are out of time. Whom a node empties for stays, and is told so.
    """
    moves = []
    advanced = 0
    for order_id, order in orders.items():
        miss = own_miss(clearing.unmatched[order_id], order)
        why = CloseReason(miss.reason)
        place = order.markets.index(str(market)) + 1
        last = place == len(order.markets)
        stays = kept is not None and kept.order_id == order_id
        following = market if stays else Market.parse(order.markets[0 if last else place])
        over = last and order.deadline_at <= now
        advanced += not last
        hint = _hint(miss, kept if stays else None)
        told_of = (order.hint or {}).get(KEPT) == (hint or {}).get(KEPT)
        if over or following != market or order.reason != why or not told_of:  # else nothing is new
            state = OrderState.CLOSING if over else OrderState.OPEN
            moves.append(Move(order_id, following, why, hint, state))
    uow.orders.move(moves)
    if ended := [move.order_id for move in moves if move.state is OrderState.CLOSING]:
        uow.work.cancel(ended)
        uow.emit(Event(Topic.WORK_COMMITTED))
    return advanced


def _hint(miss: Miss, kept: Emptying | None) -> dict[str, object] | None:
    """What would have matched an order, as its owner may see it, and the node that empties for it."""
    limit = {"limit": format_credits(miss.limit_nano)} if miss.limit_nano else {}
    lacking = {"needs": [asdict(shortfall) for shortfall in miss.shortfalls]} if miss.shortfalls else {}
    emptying = {KEPT: str(kept.node_id)} if kept else {}
    return {**limit, **lacking, **emptying} or None


def dispatch_more(uow: UnitOfWork, now: datetime) -> int:
    """Queue work of running orders whose leases have room again; returns how many units."""
    with uow:
        orders = uow.orders.lock(uow.work.orders_waiting(DISPATCH_ORDERS_MAX))
        units = dispatch(uow, now, {order.id for order in orders if order.state is OrderState.RUNNING})
        uow.commit()
    return units


def dispatch(uow: UnitOfWork, now: datetime, orders: Collection[OrderId]) -> int:
    """Put waiting items of these orders, which the caller has locked, into units as far as their leases have room."""
    if not orders:
        return 0
    leases = uow.leases.open_leases(orders)
    return _fill(uow, now, leases, uow.work.waiting({lease.order_id for lease in leases}))


def _fill(
    uow: UnitOfWork, now: datetime, leases: Iterable[OpenLease], waiting: Mapping[OrderId, list[WaitingItem]]
) -> int:
    rooms: dict[OrderId, list[Room]] = {}
    for lease in leases:
        rooms.setdefault(lease.order_id, []).append(room_of(lease))
    units = pack([part for order, items in waiting.items() for part in share(items, rooms[order])])
    uow.outbox.add(uow.work.queue(units, now + RESEND_AFTER), now)
    if units:
        uow.emit(Event(Topic.UNITS_READY))
    return len(units)


def room_of(lease: OpenLease) -> Room:
    """What a lease can still take: UNITS_PER_SLOT_MAX full units per slot, less what is queued on it."""
    units = UNITS_PER_SLOT_MAX * lease.slots
    return Room(
        lease.lease_id,
        lease.queue,
        TIER_PRIORITY[lease.tier],
        lease.slots,
        max(0, units * UNIT_ITEMS_MAX - lease.items),
        max(0, units * UNIT_US_MAX * PROFILE_FACTOR - lease.us_max),
        lease.traceparent,
    )
