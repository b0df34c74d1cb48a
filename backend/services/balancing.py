"""Balancing: queued work leaves executors that have too much of it for idle ones that its order has leased as well.

Only what nobody has claimed moves, to a lease of the same order that costs no more: what is held covers it, and it is
charged by the lease that it runs on. An order of which nothing has begun may also go back to the auction, or have its
lease moved to a node that asks as much, at the same price.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backend.domain.balancing import (
    MOVES_MAX,
    Berth,
    Burden,
    Departure,
    Executor,
    Stuck,
    burdens,
    crowded,
    rebalance,
    released,
)
from backend.domain.events import Event, Topic
from backend.domain.ids import LeaseId, NodeId, OrderId
from backend.domain.machines import needs_of
from backend.domain.orders import OrderState
from backend.domain.placement import suits
from backend.domain.work import WaitingItem, pack
from backend.services.allocation import RESEND_AFTER, dispatch, room_of
from backend.services.holds import raise_again
from backend.services.preemption import REOPEN_GRACE
from backend.storage.ids import new_id
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

ORDERS_MAX = 200
MEASURED = timedelta(minutes=10)
MEASURED_ITEMS_MAX = 2_000

log = structlog.get_logger(__name__)


def balance(uow: UnitOfWork, now: datetime) -> int:
    """Move queued work from crowded executors to idle ones; returns how many items moved, or orders did.

    An order that has nothing begun, and no other lease, goes back to the auction where that has cheaper for it, or
    moves with its lease where it ends sooner for the same.
    """
    with uow:
        executors = uow.balance.executors(now)
        if len(executors) < 2 or not any(one.pending_us for one in executors):
            return 0
        executors = _measured(uow, now, executors)
        over, idle = crowded(executors)
        if not over:
            return 0
        leaving = released(uow.balance.stuck(over, ORDERS_MAX), uow.balance.unused(idle), executors)
        wanted = {*uow.balance.orders_on(over, idle, ORDERS_MAX), *(one.lease.order_id for one in leaving)}
        found = uow.orders.lock(wanted) if wanted else []
        orders = {order.id: order for order in found if order.state is OrderState.RUNNING}
        moved = _move(uow, now, executors, orders, over, idle) if orders else 0
        moved += _release(uow, now, [one for one in leaving if one.lease.order_id in orders], orders)
        uow.commit()
    return moved


def look(uow: UnitOfWork, now: datetime) -> dict[str, tuple[Executor, Burden]]:
    """What balancing sees: each queue with living agents, by its name, as quick as it was measured to be."""
    with uow:
        executors = _measured(uow, now, uow.balance.executors(now))
    found = burdens(executors)
    return {one.queue: (one, found[one.queue]) for one in executors if one.queue in found}


def _measured(uow: UnitOfWork, now: datetime, executors: Sequence[Executor]) -> list[Executor]:
    slowness = uow.balance.slowness(now - MEASURED, MEASURED_ITEMS_MAX)
    return [replace(one, slowness=slowness.get(one.queue, 1.0)) for one in executors]


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


def _release(uow: UnitOfWork, now: datetime, leaving: Sequence[Departure], orders: Mapping[OrderId, Order]) -> int:
    """End these leases, unless something has been begun on them meanwhile; returns how many orders that is.

    Orders are auctioned again, or get a lease on the node that their departure names if it still has room.
    """
    free = uow.balance.lock_unbegun([one.lease.lease_id for one in leaving]) if leaving else set()
    leaving = [one for one in leaving if one.lease.lease_id in free]
    if not leaving:
        return 0
    freed = uow.interruptions.end([one.lease.lease_id for one in leaving if one.node_id is None], now)
    reopened = [one.lease.order_id for one in leaving if one.node_id is None]
    raise_again(uow, now, uow.orders.reopen_without_lease(reopened, now + REOPEN_GRACE))
    moving = {one.lease.lease_id: (one.lease, one.node_id) for one in leaving if one.node_id is not None}
    room = uow.balance.lock_free_slots({*freed, *(n for lease, node in moving.values() for n in (lease.node_id, node))})
    for lease_id, (lease, node) in list(moving.items()):
        room[node] = room.get(node, 0) - lease.slots
        if room[node] < 0:  # it was sold meanwhile
            room[node] += lease.slots
            del moving[lease_id]
    uow.nodes.give_back(freed)
    if moving:
        _move_leases(uow, now, list(moving.values()), orders)
    uow.emit(Event(Topic.LEASES_ENDED))
    if reopened:
        uow.emit(Event(Topic.ORDERS_PLACED))
    log.info("leases.released", auctioned=len(reopened), moved=len(moving))
    return len(reopened) + len(moving)


def _move_leases(
    uow: UnitOfWork, now: datetime, moving: Sequence[tuple[Stuck, NodeId]], orders: Mapping[OrderId, Order]
) -> None:
    """Replace these leases by others at the same prices on these nodes, which the caller has locked with theirs."""
    uow.nodes.give_back(uow.interruptions.end([lease.lease_id for lease, _ in moving], now))
    uow.balance.grant_elsewhere([(LeaseId(new_id()), lease.lease_id, node) for lease, node in moving], now)
    taken: Counter[NodeId] = Counter()
    for lease, node in moving:
        taken[node] += lease.slots
    uow.nodes.take(taken)
    uow.nodes.remember_models({(node, orders[lease.order_id].model_id) for lease, node in moving}, now)
    dispatch(uow, now, [lease.order_id for lease, _ in moving])
    uow.emit(Event(Topic.LEASES_GRANTED))
