"""Verdicts on work that is judged before it is paid for: accepted, rejected, or not needed; and with them the money."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.domain.federated.faults import speaks_against
from backend.domain.ids import ItemId, OrderId
from backend.domain.orders import CloseReason, OrderState
from backend.domain.trust import Evidence
from backend.services.settlement import settle
from backend.storage.trust import Found
from backend.storage.unit_of_work import UnitOfWork

JUDGED_ORDERS_MAX = 1_000
FREED_MAX = 500
_OPEN = (OrderState.OPEN, OrderState.RUNNING, OrderState.CLOSING)


def judge(
    uow: UnitOfWork,
    now: datetime,
    orders: Collection[OrderId],
    accepted: Collection[ItemId] = (),
    rejected: Mapping[ItemId, str] | None = None,
) -> None:
    """End these orders in the caller's unit of work: accepted items are charged, rejected ones are not, and speak
    against their nodes unless their reason's fault is nobody's; what else was reported or has not run is cancelled,
    unpaid. Two verdicts are one.

    A constant number of statements for JUDGED_ORDERS_MAX orders at most. An order that ended before stays as it is.
    Locks orders and then money: the caller has locked neither, and places new orders afterwards, if at all.
    """
    assert len(orders) <= JUDGED_ORDERS_MAX
    found = {order.id: order for order in uow.orders.lock_all(orders) if order.state in _OPEN}
    if not found:
        return
    uow.judged_items.accept(accepted)
    reasons = rejected or {}
    refused = uow.judged_items.reject(reasons)
    against = Counter(
        (one.node_id, found[one.order_id].account_id) for one in refused if speaks_against(reasons[one.id])
    )
    uow.trust.record(
        [Found(node, buyer, Evidence.UPDATE_REJECTED, count) for (node, buyer), count in against.items()], now
    )
    uow.work.cancel(found)
    uow.judged_items.reject_unjudged(found, "not needed any more")
    closing = [
        replace(order, state=OrderState.CLOSING, reason=order.reason or CloseReason.ROUND_ENDED)
        for order in found.values()
    ]
    uow.orders.begin_close([(order.id, order.reason) for order in closing if order.reason])
    settle(uow, now, closing)


def free_nodes(uow: UnitOfWork, now: datetime) -> int:
    """End leases whose work has run and only waits to be judged: nobody pays for them. Returns of how many orders.

    What an update costs, it costs at its lease's price all the same.
    """
    with uow:
        found = uow.judged_items.reported_on_leases(FREED_MAX)
        idle = [order.id for order in uow.orders.lock_running(found)] if found else []
        if idle:
            uow.nodes.give_back(uow.leases.end(idle, now))
            uow.emit(Event(Topic.OFFERS_CHANGED))
            uow.commit()
    return len(idle)
