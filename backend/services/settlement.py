"""Settlement: charge what ran, take the fee, pay the provider, and at an order's end release the rest.

settle(t1); settle(t2) is settle(t2): every step looks at what is recorded, never at what was asked for before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, HoldId, OrderId
from backend.domain.money import charge_nano
from backend.domain.orders import CloseReason, final_state
from backend.messaging.spans import clock_ns, finished
from backend.services.escrow import Charge, capture
from backend.services.trust import served
from backend.storage.order_rows import Order
from backend.storage.orders import Settled
from backend.storage.unit_of_work import UnitOfWork
from backend.storage.work_rows import CommittedItem

SETTLE_ORDERS_MAX = 1_000
SETTLE_ITEMS_MAX = 5_000


def settle_finished(uow: UnitOfWork, now: datetime) -> int:
    """Settle orders with items that ran or whose end is decided; returns how many orders were looked at."""
    started_ns = clock_ns()
    with uow:
        orders = uow.orders.lock_unsettled(SETTLE_ORDERS_MAX)
        if orders:
            settle(uow, now, orders)
            uow.commit()
    finished("orders.settle", started_ns, (order.traceparent for order in orders), swarmex__orders=len(orders))
    return len(orders)


def close(uow: UnitOfWork, now: datetime, order_ids: Collection[OrderId]) -> None:
    """Settle these orders, which the caller has locked, inside its open unit of work."""
    settle(uow, now, uow.orders.lock(order_ids))


def settle(uow: UnitOfWork, now: datetime, orders: Sequence[Order]) -> None:
    """Settle these orders, locked as they are now, inside the caller's open unit of work."""
    by_id = {order.id: order for order in orders}
    items = uow.work.lock_committed(by_id, SETTLE_ITEMS_MAX)
    charges = charges_of(items, by_id)
    closing = _closing(uow, by_id, items)
    capture(uow, now, charges, [by_id[order].hold_id for order in closing])
    uow.work.mark_settled([(item.id, charge_nano(item.price_nano, item.billed_us)) for item in items])
    served(uow, now, items, by_id)
    finish(uow, now, orders, charges, closing)


def charges_of(items: Iterable[CommittedItem], orders: dict[OrderId, Order]) -> list[Charge]:
    """One charge per order and provider: each item rounded up by itself, as its hold was."""
    owed: dict[tuple[OrderId, AccountId], tuple[int, int]] = {}
    for item in items:
        key = (item.order_id, item.provider)
        paid, earned = owed.get(key, (0, 0))
        owed[key] = (
            paid + charge_nano(item.price_nano, item.billed_us),
            earned + charge_nano(item.earns_nano, item.billed_us),
        )
    return [
        charge_of(orders[order], orders[order].hold_id, provider, paid, earned)
        for (order, provider), (paid, earned) in owed.items()
    ]


def charge_of(order: Order, hold_id: HoldId, provider: AccountId, paid_nano: int, earned_nano: int) -> Charge:
    """What an order pays from one of its holds, and what of it a provider earns, at the fee that it was placed at."""
    return Charge(hold_id, provider, paid_nano, order.fee_ppm, order.id, paid_nano - earned_nano)


def _closing(
    uow: UnitOfWork, orders: dict[OrderId, Order], items: Iterable[CommittedItem]
) -> dict[OrderId, CloseReason | None]:
    """Orders that nothing is left of once `items` are settled, and why they end."""
    now_settled: dict[OrderId, int] = {}
    for item in items:
        now_settled[item.order_id] = now_settled.get(item.order_id, 0) + 1
    return {
        order: orders[order].reason or (CloseReason.ATTEMPTS_EXHAUSTED if left.dead else None)
        for order, left in uow.work.left(orders).items()
        if left.unsettled == now_settled.get(order, 0)
    }


def finish(
    uow: UnitOfWork,
    now: datetime,
    orders: Sequence[Order],
    charges: Sequence[Charge],
    closing: Mapping[OrderId, CloseReason | None],
) -> None:
    """Record what orders were charged; end the closing ones, their leases, and free the slots."""
    charged: dict[OrderId | None, int] = {}
    for c in charges:
        charged[c.order_id] = charged.get(c.order_id, 0) + c.amount_nano
    settled = []
    for order in orders:
        state, reason, closed_at = order.state, order.reason, order.closed_at
        if order.id in closing:
            reason = closing[order.id]
            state, closed_at = final_state(reason), now
        settled.append(Settled(order.id, state, reason, order.charged_nano + charged.get(order.id, 0), closed_at))
    uow.orders.write_settled(settled)
    if closing:
        freed = uow.leases.end(closing, now)
        uow.nodes.give_back(freed)
        uow.emit(Event(Topic.ORDERS_CLOSED))
        uow.emit(Event(Topic.OFFERS_CHANGED))
