"""Holds follow the price: lowered when an order is cleared, raised when it goes back to the auction, ended in time."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import groupby

from backend.domain.ids import HoldId, OrderId
from backend.domain.leases import window_nano
from backend.domain.ledger import Expire, HoldState, Release, apply
from backend.domain.money import US_PER_S
from backend.domain.orders import SESSION, CloseReason
from backend.services.escrow import raise_held
from backend.services.placement import need_of
from backend.services.settlement import close
from backend.storage.order_rows import Order
from backend.storage.orders import Running
from backend.storage.unit_of_work import UnitOfWork
from backend.storage.work_rows import Exposure

EXPIRE_MAX = 500


def lower(uow: UnitOfWork, now: datetime, order_ids: Collection[OrderId]) -> int:
    """Give back what these orders cannot cost any more at the prices of their leases; returns of how many holds.

    In a transaction of its own after the clearing, since wallets are locked before nodes; losing it costs nobody
    anything: an order gives back what it did not use when it ends. So orders that ended meanwhile are passed over.
    """
    if not order_ids:
        return 0
    with uow:
        needed = _needed(uow, uow.orders.lock_running(order_ids))
        holds = uow.ledger.lock_holds(needed)
        excess = [
            Release(hold.id, amount_nano=hold.left_nano - needed[hold.id])
            for hold in holds.values()
            if hold.state is HoldState.PENDING and hold.left_nano > needed[hold.id]
        ]
        if excess:
            accounts = uow.ledger.lock(others={holds[release.hold_id].account for release in excess})
            applied = apply(excess, accounts.balances, holds)
            with uow.sending():
                uow.ledger.write(applied, now)
            uow.commit()
    return len(excess)


def _needed(uow: UnitOfWork, orders: Sequence[Running]) -> dict[HoldId, int]:
    """What each hold of these orders may still have to pay."""
    work = [order for order in orders if order.workload != SESSION]
    sessions = [order.id for order in orders if order.workload == SESSION]
    exposures = uow.work.exposures([order.id for order in work]) if work else {}
    needed = {order.hold_id: exposures[order.id].worst_nano for order in work if order.id in exposures}
    if sessions:
        windows = uow.sessions.open_windows(sessions)
        needed |= {window.hold_id: window_nano(window.price_nano, window.slots) for window in windows}
    return needed


def raise_again(uow: UnitOfWork, now: datetime, orders: Sequence[Order]) -> None:
    """Hold the worst case at their limits for orders that go back to the auction, inside the caller's unit of work.

    What budget or wallet do not cover any more lowers the order's limit; where nothing is left to bid it ends.
    """
    if not orders:
        return
    exposures = uow.work.exposures([order.id for order in orders])
    holds = uow.ledger.lock_holds({order.hold_id for order in orders})
    short = {
        order.id: exposures[order.id].worst_nano - holds[order.hold_id].left_nano
        for order in orders
        if order.id in exposures and exposures[order.id].worst_nano > holds[order.hold_id].left_nano
    }
    wishing = [order for order in orders if order.id in short]
    uow.ledger.lock(wallets_of={order.account_id for order in wishing})
    refused: list[Order] = []
    for placed_at, together in groupby(sorted(wishing, key=_quarter), _quarter):
        group = list(together)
        outcomes = raise_held(uow, now, [need_of(o, short[o.id]) for o in group], holds, placed_at)
        refused += [order for order, error in zip(group, outcomes, strict=True) if error]
    limits = {o.id: _affordable(holds[o.hold_id].left_nano, exposures[o.id]) for o in refused}
    uow.orders.lower_limits({order: limit for order, limit in limits.items() if limit > 0})
    if hopeless := [order for order, limit in limits.items() if limit <= 0]:
        uow.work.cancel(hopeless)
        uow.orders.begin_close([(order, CloseReason.INSUFFICIENT_FUNDS) for order in hopeless])


def _quarter(order: Order) -> datetime:
    """The quarter of an hour that an order was placed in: no budget's period begins within one, in any time zone."""
    placed = order.placed_at
    return placed.replace(minute=placed.minute // 15 * 15, second=0, microsecond=0)


def _affordable(left_nano: int, exposure: Exposure) -> int:
    """The highest limit at which a hold covers the waiting items, each rounded up by itself."""
    free = left_nano - exposure.leased_nano - exposure.waiting_items
    return free * US_PER_S // exposure.waiting_us if exposure.waiting_us else 0


def expire(uow: UnitOfWork, now: datetime) -> int:
    """End holds whose time is over: with their orders, which are charged for what ran, or by themselves.

    Returns how many were found.
    """
    with uow:
        orders = uow.orders.lock_outlived(now, EXPIRE_MAX)
        if orders:
            ids = [order.id for order in orders]
            work = [order.id for order in orders if order.workload != SESSION]
            uow.work.cancel(work)
            uow.judged_items.reject_unjudged(work, "its hold expired before it was judged")
            uow.orders.begin_close([(order, CloseReason.HOLD_EXPIRED) for order in ids])
            close(uow, now, ids)
        holds = uow.ledger.lock_expired(now, EXPIRE_MAX)
        if holds:
            accounts = uow.ledger.lock(others={hold.account for hold in holds.values()})
            applied = apply([Expire(hold, now) for hold in holds], accounts.balances, holds)
            uow.ledger.write(applied, now)
        uow.commit()
    return len(orders) + len(holds)
