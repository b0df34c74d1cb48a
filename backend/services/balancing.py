"""Balancing: queued work leaves executors that have too much of it for idle ones that its order has leased as well.

Only what nobody has claimed moves, to a lease of the same order that costs no more: what is held covers it, and it is
charged by the lease that it runs on. An order of which nothing has begun may also go back to the auction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backend.domain.balancing import MOVES_MAX, Berth, Executor, Stuck, crowded, rebalance, released
from backend.domain.events import Event, Topic
from backend.domain.ids import LeaseId, OrderId
from backend.domain.machines import needs_of
from backend.domain.orders import OrderState
from backend.domain.placement import suits
from backend.domain.work import WaitingItem, pack
from backend.services.allocation import RESEND_AFTER, room_of
from backend.services.holds import raise_again
from backend.services.preemption import REOPEN_GRACE
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

ORDERS_MAX = 200
MEASURED = timedelta(minutes=10)
MEASURED_ITEMS_MAX = 2_000

log = structlog.get_logger(__name__)


def balance(uow: UnitOfWork, now: datetime) -> int:
    """Move queued work from crowded executors to idle ones; returns how many items moved, or orders were let go.

    An order that has nothing begun, and no other lease, goes back to the auction where that has better for it.
    """
    with uow:
        executors = uow.balance.executors(now)
        if len(executors) < 2 or not any(one.pending_us for one in executors):
            return 0
        slowness = uow.balance.slowness(now - MEASURED, MEASURED_ITEMS_MAX)
        executors = [replace(one, slowness=slowness.get(one.queue, 1.0)) for one in executors]
        over, idle = crowded(executors)
        if not over:
            return 0
        stuck = released(uow.balance.stuck(over, ORDERS_MAX), uow.balance.unused(idle))
        wanted = {*uow.balance.orders_on(over, idle, ORDERS_MAX), *(lease.order_id for lease in stuck)}
        found = uow.orders.lock(wanted) if wanted else []
        orders = {order.id: order for order in found if order.state is OrderState.RUNNING}
        moved = _move(uow, now, executors, orders, over, idle) if orders else 0
        moved += _release(uow, now, [lease for lease in stuck if lease.order_id in orders])
        uow.commit()
    return moved


def _move(
    uow: UnitOfWork,
    now: datetime,
    executors: Sequence[Executor],
    orders: Mapping[OrderId, Order],
    over: frozenset[str],
    idle: frozenset[str],
) -> int:
    items = {item.item_id: item for item in uow.balance.lock_queued(orders, over, MOVES_MAX)}
    rooms = {
        berth.lease.lease_id: (berth, room_of(berth.lease))
        for berth in uow.balance.berths(orders, idle)
        if suits(needs_of(orders[berth.lease.order_id].needs), berth.machine)
    }
    berths = [
        Berth(lease_id, berth.lease.order_id, room.queue, berth.price_nano, room.items, room.us_max)
        for lease_id, (berth, room) in rooms.items()
    ]
    moves = rebalance(executors, list(items.values()), berths)
    if not moves:
        return 0
    shares: dict[LeaseId, list[WaitingItem]] = {}
    for move in moves:
        item = items[move.item_id]
        shares.setdefault(move.lease_id, []).append(WaitingItem(item.item_id, item.us_max))
    units = pack([(rooms[lease][1], sorted(some, key=lambda one: one.item_id)) for lease, some in shares.items()])
    uow.outbox.add(uow.work.queue(units, now + RESEND_AFTER), now)
    uow.emit(Event(Topic.UNITS_READY))
    log.info("work.moved", items=len(moves), crowded=sorted(over), idle=sorted(idle), leases=len(shares))
    return len(moves)


def _release(uow: UnitOfWork, now: datetime, stuck: Sequence[Stuck]) -> int:
    """Give these leases up, unless something has been begun on them meanwhile; their orders are auctioned again."""
    if not stuck:
        return 0
    free = uow.balance.lock_unbegun([lease.lease_id for lease in stuck])
    orders = [lease.order_id for lease in stuck if lease.lease_id in free]
    if not orders:
        return 0
    freed = uow.interruptions.end(free, now)
    raise_again(uow, now, uow.orders.reopen_without_lease(orders, now + REOPEN_GRACE))
    uow.nodes.give_back(freed)
    uow.emit(Event(Topic.LEASES_ENDED))
    uow.emit(Event(Topic.ORDERS_PLACED))
    log.info("leases.released", leases=len(free))
    return len(orders)
