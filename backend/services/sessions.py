"""Session leases for real-time requests: prepaid in windows of 30 s, charged for the time until they end."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.access import Principal
from backend.domain.errors import Conflict, Invalid, NotFound, Unavailable
from backend.domain.events import Event, Topic
from backend.domain.ids import HoldId, LeaseId, NodeId, OrderId, WindowId
from backend.domain.leases import WINDOW_S, LeaseState, Progress, used_nano, window_nano
from backend.domain.machines import LATENCY_MS_MAX, Needs
from backend.domain.orders import (
    LIMIT_OVER_SPOT,
    SESSION,
    CloseReason,
    OrderState,
    Strategy,
    candidates,
    check_sla_offered,
)
from backend.domain.sla import Measured
from backend.domain.terms import limit_error, out_of_reach
from backend.domain.tiers import TierName, parse_tier
from backend.messaging.tracing import carried
from backend.services.escrow import Need, capture, reserve, reserve_one
from backend.services.models import choose
from backend.services.placement import need_of
from backend.services.session_sla import count_measured, lock_money, withhold_windows
from backend.services.settlement import charge_of, finish
from backend.services.trust import served
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.order_rows import Order
from backend.storage.sessions import PAUSE_GRACE, OpenWindow, Session, Window
from backend.storage.unit_of_work import UnitOfWork

OPEN_DEADLINE_S = 2
SETTLE_SESSIONS_MAX = 500
WINDOW = timedelta(seconds=WINDOW_S)
# Every machine meets it. Orders with needs are matched with nodes one by one, by their price and by what the order
# prefers: a node that has the model. Those without take the cheapest slot, whatever lies on its node.
_ASSIGNED = Needs(latency_ms_max=LATENCY_MS_MAX)
_UNPAID = CloseReason.INSUFFICIENT_FUNDS
_FINAL_REASONS = (
    OrderState.CLOSING,
    OrderState.SETTLED,
    OrderState.EXPIRED,
    OrderState.CANCELLED,
    OrderState.FAILED,
)


@patient
def open_session(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    model: str,
    tier_name: str,
    limit_nano_per_slot_s: int | None = None,
    *,
    sla: bool = False,
    never: Collection[NodeId] = (),
    held_slots: int = 0,
    order_id: OrderId | None = None,
) -> OrderId:
    """Order one slot for real-time requests to a model, not of a node in `never`; its first window is held at once.

    `order_id` is the caller's own, if it may have to give the order up without having heard of it (`abandon`).

    Raises NotFound, Invalid (`sla_not_offered`, `tier_not_offered`, `limit_below_market`), Conflict
    (`slots_above_tier`, with the slots that the buyer's gateway has for this already), Unavailable or
    InsufficientFunds.
    """
    name = parse_tier(tier_name)
    if sla:
        check_sla_offered(name, "Swarmex-SLA")
    if name is TierName.SMALL:
        raise Invalid(
            "tier small has no session of its own",
            code="tier_not_offered",
            field="Swarmex-Tier",
            accepted=", ".join(name for name in TierName if name is not TierName.SMALL),
        )
    with uow:
        ref = choose(uow.models.versions([model]), model, None).ref
        tiers = uow.tiers.current(now)
        if held_slots >= tiers[name].slots_max:
            raise Conflict(f"{held_slots} slots are leased", code="slots_above_tier", accepted=f"tier {name}'s maximum")
        markets = candidates(tiers[name], Strategy.LATENCY, None, uow.markets.states(now), tiers.values())
        if not any(market.free_slots for market in markets):
            raise Unavailable("every slot is taken", code="no_capacity", field="Swarmex-Tier", accepted="try again")
        limit = limit_nano_per_slot_s or LIMIT_OVER_SPOT * max(market.spot_nano for market in markets)
        if out_of_reach(limit, markets):
            raise limit_error("Swarmex-Limit", markets)
        order = Order(
            id=order_id or OrderId(new_id()),
            account_id=principal.account_id,
            member_id=principal.member_id,
            workload=SESSION,
            model_id=ref.model_id,
            tier=name,
            strategy=Strategy.LATENCY,
            resource_class=markets[0].market.resource_class,
            region=markets[0].market.region,
            markets=[str(state.market) for state in markets],
            slots=1,
            limit_nano_per_slot_s=limit,
            worst_case_nano=window_nano(limit, 1),
            fee_ppm=uow.fees.current(now)[name],
            hold_id=HoldId(new_id()),
            state=OrderState.OPEN,
            reason=None,
            charged_nano=0,
            placed_at=now,
            deadline_at=now + timedelta(seconds=OPEN_DEADLINE_S),
            needs=replace(_ASSIGNED, never=tuple(sorted(never))).wire(),
            sla=sla,
            traceparent=carried(),
        )
        reserve_one(uow, now, need_of(order))
        uow.orders.add([order])
        uow.emit(Event(Topic.ORDERS_PLACED, str(order.market)))
        uow.commit()
    return order.id


def progress(uow: UnitOfWork, now: datetime, order_id: OrderId) -> Progress[Session]:
    """Whether a session order has its lease by now; raises NotFound."""
    with uow:
        session = uow.sessions.of_order(order_id, now)
        if session:
            return Progress(session, None)
        order = uow.orders.find(order_id)
    if order is None:
        raise NotFound("order", order_id)
    return Progress(None, order.reason if order.state in _FINAL_REASONS else None)


@patient
def renew(uow: UnitOfWork, now: datetime, lease_id: LeaseId, measured: Measured | None = None) -> datetime:
    """Prepay the next window; returns its end. Twice is once: a window that has not begun yet is not followed up.

    `measured` is all that the gateway has measured of the session since it was granted.
    Raises NotFound, Conflict(`lease_ended`), InsufficientFunds or BudgetExceeded. On the last two the lease is paused:
    it may be renewed until PAUSE_GRACE_S after its last window, from that moment on; then it ends.
    """
    with uow:
        session = _locked(uow, now, lease_id)
        if session.state != LeaseState.ACTIVE or session.pays_until <= now:
            raise Conflict(f"lease {lease_id} has ended", code="lease_ended")
        if session.window_ends_at - now > WINDOW:
            count_measured(uow, now, session, measured)
            uow.commit()
            return session.window_ends_at
        starts_at = max(now, session.window_ends_at)
        window = Window(
            WindowId(new_id()),
            lease_id,
            session.window_seq + 1,
            HoldId(new_id()),
            starts_at,
            starts_at + WINDOW,
            "open",
        )
        amount = window_nano(session.price_nano_per_slot_s, session.slots)
        need = Need(session.spender, window.hold_id, amount, window.ends_at, session.tier)
        [refused] = reserve(uow, now, [need])
        if refused is None:
            uow.sessions.add_windows([window])
            uow.orders.raise_worst_case(session.order_id, amount)
        if (refused is None) == (session.paused_at is not None):
            uow.sessions.pause(lease_id, now if refused else None)
        count_measured(uow, now, session, measured)  # after the money: windows of SLAs are locked last
        uow.commit()
    if refused:
        raise refused
    return window.ends_at


@patient
def end(
    uow: UnitOfWork, now: datetime, lease_id: LeaseId, reason: CloseReason, measured: Measured | None = None
) -> None:
    """End a session now: its slot is free at once, its windows are charged until now. Twice is once.

    What its gateway has measured since it was granted is taken all the same when it has ended already.
    """
    with uow:
        session = _locked(uow, now, lease_id)
        if session.state == LeaseState.ACTIVE:
            _end(uow, now, session.order_id, reason)
        count_measured(uow, now, session, measured)
        uow.commit()


@patient
def abandon(uow: UnitOfWork, now: datetime, order_id: OrderId) -> bool:
    """End a session that nobody waits for any more, granted or not: nobody pays for what nobody uses. Twice is once.

    Returns whether there is such an order: who placed it without hearing the answer asks again while there is none.
    """
    with uow:
        order = uow.orders.find(order_id, for_update=True)
        if order and order.state in (OrderState.OPEN, OrderState.RUNNING):
            _end(uow, now, order_id, CloseReason.SESSION_IDLE)
            uow.commit()
    return order is not None


def states(uow: UnitOfWork, leases: Collection[LeaseId]) -> dict[LeaseId, str]:
    """Whether leases are still active, for gateways that use them."""
    with uow:
        return uow.sessions.states(leases)


def settle_windows(uow: UnitOfWork, now: datetime) -> int:
    """Charge windows that are over, on a timer as well as on events; a lease that nobody renewed ends with its last.

    Returns how many session orders were looked at.
    """
    with uow:
        orders = {o.id: o for o in uow.orders.lock(uow.sessions.orders_to_settle(now, SETTLE_SESSIONS_MAX))}
        if not orders:
            return 0
        windows = uow.sessions.open_windows(orders)
        over = [w for w in windows if w.is_over(now)]
        running = {w.order_id for w in windows if not w.is_over(now)}
        charges = [
            charge_of(orders[w.order_id], w.hold_id, w.provider, paid, _used(w, w.earns_nano))
            for w in over
            if (paid := _used(w, w.price_nano))
        ]
        paused = uow.sessions.paused(orders)
        waiting = {order for order, paid_until in paused.items() if now < paid_until + PAUSE_GRACE}
        closing = {
            order.id: order.reason or (_UNPAID if order.id in paused else CloseReason.WINDOW_ENDED)
            for order in orders.values()
            if order.id not in running and (order.id not in waiting or order.state is OrderState.CLOSING)
        }
        never_leased = closing.keys() - {w.order_id for w in windows}
        unused = [orders[order].hold_id for order in never_leased]
        promised = [w for w in over if orders[w.order_id].sla]
        released = [w.hold_id for w in over] + unused
        lock_money(uow, promised, charges, released)
        paid_out = capture(uow, now, charges, released)
        uow.sessions.mark_settled([w.id for w in over])
        kept = [w for w in over if _used(w, w.price_nano) and orders[w.order_id].reason is not CloseReason.NODE_LOST]
        served(uow, now, kept, orders)
        finish(uow, now, list(orders.values()), charges, closing)
        withhold_windows(uow, now, orders, promised, paid_out)
        uow.commit()
    return len(orders)


def _used(window: OpenWindow, price_nano: int) -> int:
    """What the time of a window until its end, or its lease's, comes to at a price."""
    return used_nano(price_nano, window.slots, window.starts_at, window.ends_at, window.lease_ended_at)


def _locked(uow: UnitOfWork, now: datetime, lease_id: LeaseId) -> Session:
    """A session whose order is locked until the transaction ends; raises NotFound."""
    session = uow.sessions.of_lease(lease_id, now)
    if session is None or uow.orders.find(session.order_id, for_update=True) is None:
        raise NotFound("lease", lease_id)
    current = uow.sessions.of_lease(lease_id, now)
    return current or session


def _end(uow: UnitOfWork, now: datetime, order_id: OrderId, reason: CloseReason) -> None:
    uow.nodes.give_back(uow.leases.end([order_id], now))
    uow.orders.begin_close([(order_id, reason)])
    uow.emit(Event(Topic.LEASES_ENDED))
    uow.emit(Event(Topic.OFFERS_CHANGED))
