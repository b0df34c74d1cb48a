"""Preemption: interruptible work makes room for orders of higher tiers, with notice, and is charged for what ran."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from backend.domain.events import Event, Topic
from backend.domain.ids import OrderId
from backend.domain.machines import NO_NEEDS, needs_of
from backend.domain.preemption import NOTICE, Wanting, make_room
from backend.domain.pricing import Market
from backend.domain.tiers import TIERS
from backend.services.holds import raise_again
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

EVICT_MAX = 500
REOPEN_GRACE = timedelta(seconds=60)


def give_notice(uow: UnitOfWork, now: datetime, market: Market, without: Sequence[Order]) -> frozenset[OrderId]:
    """Tell interruptible leases of a market to leave for orders that got nothing, in the caller's unit of work.

    Returns the orders that had better wait here for what will be free.
    """
    wanting = [
        Wanting(
            order.id,
            TIERS[order.tier].rank,
            order.limit_nano_per_slot_s,
            order.slots,
            needs_of(order.needs) if order.needs else NO_NEEDS,
        )
        for order in without
        if not order.interruptible
    ]
    if not wanting:
        return frozenset()
    room = make_room(wanting, uow.interruptions.running(market))
    if room.told:
        uow.interruptions.tell(room.told, now + NOTICE)
        uow.emit(Event(Topic.LEASES_LEAVING))
    return room.awaited_by


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
