"""Preemption: interruptible work makes room for orders of higher tiers, with notice, and is charged for what ran."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.ageing import Emptying
from backend.domain.auctions import Ask, Bid, Book, Clearing, clear
from backend.domain.events import Event, Topic
from backend.domain.ids import OrderId
from backend.domain.preemption import NOTICE, Interruptible, Room, Wanting, asks_after, make_room, unsold
from backend.domain.pricing import Market
from backend.services.holds import raise_again
from backend.services.queueing import Standing, amounts_of, has_looked_around, in_line
from backend.storage.leases import Held
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

EVICT_MAX = 500
REOPEN_GRACE = timedelta(seconds=60)
PROOFS_MAX = 4  # times that orders which would get nothing of it are left out of whom room is made for


@dataclass(frozen=True, slots=True)
class Cleared:
    """A market's auction: who bid, what was offered, and the node that empties for an order, if one does."""

    market: Market
    mechanism: str
    clearing: Clearing
    bids: Sequence[Bid]
    asks: Sequence[Ask]
    kept: Emptying | None = None


def give_notice(
    uow: UnitOfWork, now: datetime, cleared: Cleared, orders: Mapping[OrderId, Order]
) -> frozenset[OrderId]:
    """Tell interruptible leases of a market to leave for orders that got nothing, in the caller's unit of work.

    Only for those that have been to all of their markets and would then trade. Returns the orders that had better wait
    here for what will be free.
    """
    without = [orders[order_id] for order_id in cleared.clearing.unmatched]
    wanting = [order for order in without if _may_ask(order, cleared)]
    if not wanting:
        return frozenset()
    kept = {cleared.kept.node_id} if cleared.kept else set()
    running = [r for r in uow.interruptions.running(cleared.market, now) if r.machine.node_id not in kept]
    if not running:
        return frozenset()
    bids = {bid.order_id: bid for bid in cleared.bids}
    wishes = [_wish(bids[order.id]) for order in wanting]
    room = make_room(wishes, running)
    if not room.awaited_by:
        return frozenset()
    room = _proven(uow, now, cleared, without, wishes, running, room)
    if room.told:
        uow.interruptions.tell(room.told, now + NOTICE)
        uow.emit(Event(Topic.LEASES_LEAVING))
    return room.awaited_by


def _may_ask(order: Order, cleared: Cleared) -> bool:
    """Whether others may have to leave for an order, if it would trade then."""
    return (
        not order.interruptible
        and order.limit_nano_per_slot_s >= cleared.clearing.book.spot_nano
        and has_looked_around(order, cleared.market)
    )


def _wish(bid: Bid) -> Wanting:
    return Wanting(bid.order_id, bid.tier, bid.limit_nano, bid.slots, bid.needs)


def _proven(
    uow: UnitOfWork,
    now: datetime,
    cleared: Cleared,
    without: Sequence[Order],
    wishes: Sequence[Wanting],
    running: Sequence[Interruptible],
    room: Room,
) -> Room:
    """The same room for those only who would trade in the auction that follows; none if that is not found soon."""
    standing = Standing.of(uow, now, cleared.market)
    told = {order.id: order for order in uow.interruptions.orders_of(room.freed)}
    chosen = _of(running, room)
    for _ in range(PROOFS_MAX):
        leaving = _of(chosen, room)
        stay = {lease.order_id for lease in running if lease.lease_id not in room.freed}
        back = [told[order_id] for order_id in {lease.order_id for lease in leaving} - stay]
        later = replace(standing, held=[*standing.held, *(_given_up(lease, told) for lease in leaving)])
        asks = asks_after(unsold(cleared.asks, cleared.clearing.fills), leaving)
        # What runs may end by itself before it has to leave: then it does not come back.
        outcomes = [_traders(now + NOTICE, cleared, later, orders, asks) for orders in (without, [*without, *back])]
        vain = room.awaited_by - frozenset.intersection(*outcomes)
        if not vain:
            return room
        wishes = [wish for wish in wishes if wish.order_id not in vain]
        room = make_room(wishes, chosen)
    return Room()


def _traders(
    at: datetime, cleared: Cleared, standing: Standing, orders: Sequence[Order], asks: Sequence[Ask]
) -> frozenset[OrderId]:
    """Which of these orders would trade at a moment, with these asks."""
    book = cleared.clearing.book
    known = {bid.order_id: bid for bid in cleared.bids}
    orders = sorted(orders, key=lambda order: order.id)
    bids = [known.get(order.id) or order.bid() for order in orders]
    placed, reserved = in_line(standing, at, orders, bids, asks, book.spot_nano)
    after = Book.of(placed, asks, book.spot_nano, at, reserved, book.reserve_nano)
    return frozenset(fill.order_id for fill in clear(after, cleared.mechanism).fills)


def _of(leases: Sequence[Interruptible], room: Room) -> list[Interruptible]:
    """Those of the leases that a room counts on."""
    freed = frozenset(room.freed)
    return [lease for lease in leases if lease.lease_id in freed]


def _given_up(lease: Interruptible, orders: Mapping[OrderId, Order]) -> Held:
    """What its account holds less without a lease."""
    order = orders[lease.order_id]
    return Held(order.account_id, order.tier, *amounts_of(order, -lease.slots))


def evict_due(new_uow: Callable[[], UnitOfWork], now: datetime) -> int:
    """End leases whose notice is over; what they did not run goes back to the auction. Returns how many."""
    with new_uow() as uow:
        due = uow.interruptions.due(now, EVICT_MAX)
        if not due:
            return 0
        orders = {order.id: order for order in uow.orders.lock({leaving.order_id for leaving in due})}
        leases = [leaving.lease_id for leaving in due if leaving.order_id in orders]
        freed = uow.interruptions.end(leases, now)
        raise_again(uow, now, uow.orders.reopen_without_lease(orders, now + REOPEN_GRACE))
        uow.nodes.give_back(freed)
        uow.emit(Event(Topic.LEASES_ENDED))
        uow.emit(Event(Topic.ORDERS_PLACED))
        uow.commit()
    return len(leases)
