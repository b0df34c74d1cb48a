"""Private orders whose nodes lost their keys: they go on elsewhere, or end."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from backend.domain.events import Event, Topic
from backend.domain.orders import CloseReason, OrderState
from backend.services.holds import raise_again
from backend.storage.private_orders import Stranded
from backend.storage.unit_of_work import UnitOfWork

STRANDED_MAX = 500
FORGOTTEN_MAX = 10_000  # recipients; of each stranded order there are 16 at most
REOPEN_GRACE = timedelta(seconds=60)


def release_stranded(uow: UnitOfWork, now: datetime) -> int:
    """Take private orders away from nodes whose keys have ended; returns how many orders that is.

    They go on at the other nodes that they are sealed to; where none is left they end, unbilled but for what ran.
    """
    with uow:
        found = {one.order_id: one for one in uow.private_orders.stranded(STRANDED_MAX)}
        # Those that somebody else has locked are found again.
        orders = uow.orders.lock(found) if found else []
        locked = [order for order in orders if order.state in (OrderState.OPEN, OrderState.RUNNING)]
        stranded = [found[order.id] for order in locked]
        _end(uow, [one for one in stranded if not one.left])
        _move(uow, now, [one for one in stranded if one.left])
        gone = [(one.order_id, node) for one in stranded for node in one.gone]
        forgotten = uow.private_orders.forget_ended(gone, FORGOTTEN_MAX)
        if stranded or forgotten:
            uow.commit()
    return len(stranded)


def _end(uow: UnitOfWork, stranded: Sequence[Stranded]) -> None:
    if stranded:
        orders = [one.order_id for one in stranded]
        uow.work.cancel(orders)
        uow.orders.begin_close([(order, CloseReason.NO_VERIFIED_KEY) for order in orders])
        uow.emit(Event(Topic.WORK_COMMITTED))


def _move(uow: UnitOfWork, now: datetime, stranded: Sequence[Stranded]) -> None:
    if not stranded:
        return
    orders = [one.order_id for one in stranded]
    gone = {node for one in stranded for node in one.gone}
    uow.private_orders.leave({one.order_id: one.left for one in stranded})
    uow.work.take_back(orders, gone)
    freed = uow.leases.end(orders, now, gone)
    running = uow.orders.lock_running(orders)
    raise_again(uow, now, uow.orders.reopen_without_lease([order.id for order in running], now + REOPEN_GRACE))
    uow.nodes.give_back(freed)
    uow.emit(Event(Topic.LEASES_ENDED))
    uow.emit(Event(Topic.ORDERS_PLACED))
