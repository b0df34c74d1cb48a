"""Pooled leases of tier small: taken by a gateway for all of its users, who pay by the request out of allowances.

A pooled lease is that of a session order of the market's own account: it goes through the auction as any other, has no
windows, and costs nobody anything by itself. Its order's hold is a nano-credit on the world's account, which stands
for "nothing is prepaid" and is given back at its end.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.access import Spender
from backend.domain.allowances import POOL_ID
from backend.domain.errors import NotFound, Unavailable
from backend.domain.events import Event, Topic
from backend.domain.ids import GatewayId, HoldId, NodeId, OrderId
from backend.domain.leases import Progress
from backend.domain.ledger import WORLD_ID, Reserve, apply
from backend.domain.machines import LATENCY_MS_MAX, Needs
from backend.domain.orders import LIMIT_OVER_SPOT, SESSION, CloseReason, MarketState, OrderState, Strategy, candidates
from backend.domain.tiers import TierName
from backend.messaging.tracing import carried
from backend.services.models import choose
from backend.storage.allowances import PooledLease
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.ledger import HoldLabel
from backend.storage.models import Model
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

POOL_TIER = TierName.SMALL
POOL_DEADLINE_S = 2  # an order for a pooled lease that found no node by then ends
POOL_LASTS = timedelta(days=1)  # then it ends, and its gateway takes another
NOMINAL_NANO = 1
_OPEN = (OrderState.OPEN, OrderState.RUNNING)


@patient
def open_pool(
    uow: UnitOfWork,
    now: datetime,
    gateway: GatewayId,
    model: str,
    *,
    never: Collection[NodeId] = (),
    order_id: OrderId | None = None,
) -> OrderId:
    """Order one slot that all users of a gateway share, not of a node in `never`; `order_id` is the caller's own.

    Raises NotFound or Unavailable(`no_capacity`).

    It bids LIMIT_OVER_SPOT times the dearest candidate's spot price, as orders without a limit do: what it is cleared
    at is what requests are offered at, and users' own limits are compared with that.
    """
    with uow:
        chosen = choose(uow.models.versions([model]), model, None)
        markets = small_markets(uow, now)
        if not any(market.free_slots for market in markets):
            raise Unavailable("every slot is taken", code="no_capacity", field="Swarmex-Tier", accepted="try again")
        uow.allowances.open_pool_account(now)
        limit = LIMIT_OVER_SPOT * max(market.spot_nano for market in markets)
        order = gateway_order(
            Spender(POOL_ID), chosen, markets, now, SESSION, limit, NOMINAL_NANO, timedelta(seconds=POOL_DEADLINE_S)
        )
        needs = Needs(latency_ms_max=LATENCY_MS_MAX, never=tuple(sorted(never))).wire()
        order = replace(order, id=order_id or order.id, needs=needs)
        world = uow.ledger.lock(others=[WORLD_ID])
        hold = Reserve(order.hold_id, WORLD_ID, NOMINAL_NANO, now + POOL_LASTS)
        uow.ledger.write(apply([hold], world.balances), now, {order.hold_id: HoldLabel(None, POOL_TIER)})
        uow.orders.add([order])
        uow.allowances.add(order.id, gateway)
        uow.allowances.seen(gateway, now)
        uow.emit(Event(Topic.ORDERS_PLACED, str(order.market)))
        uow.commit()
    return order.id


def small_markets(uow: UnitOfWork, now: datetime) -> list[MarketState]:
    """The markets that may serve tier small, the cheapest first; raises Unavailable(`no_capacity`)."""
    tiers = uow.tiers.current(now)
    return candidates(tiers[POOL_TIER], Strategy.COST, None, uow.markets.states(now), tiers.values())


def gateway_order(
    spender: Spender,
    model: Model,
    markets: list[MarketState],
    now: datetime,
    workload: str,
    limit_nano: int,
    worst_case_nano: int,
    waits: timedelta = timedelta(0),
    *,
    fee_ppm: int = 0,
) -> Order:
    """An order of a gateway's in tier small: open if it waits for an auction, else running from the start."""
    first = markets[0].market
    return Order(
        id=OrderId(new_id()),
        account_id=spender.account_id,
        member_id=spender.member_id,
        workload=workload,
        model_id=model.ref.model_id,
        tier=POOL_TIER,
        strategy=Strategy.COST,
        resource_class=first.resource_class,
        region=first.region,
        markets=[str(state.market) for state in markets],
        slots=1,
        limit_nano_per_slot_s=limit_nano,
        worst_case_nano=worst_case_nano,
        fee_ppm=fee_ppm,
        hold_id=HoldId(new_id()),
        state=OrderState.OPEN if waits else OrderState.RUNNING,
        reason=None,
        charged_nano=0,
        placed_at=now,
        deadline_at=now + waits,
        started_at=None if waits else now,
        traceparent=carried(),
    )


def pool_progress(uow: UnitOfWork, now: datetime, order_id: OrderId) -> Progress[PooledLease]:
    """Whether an order for a pooled lease has it by now; raises NotFound."""
    with uow:
        lease = uow.allowances.lease_of(order_id, now)
        order = uow.orders.find(order_id)
    if order is None:
        raise NotFound("order", order_id)
    return Progress(lease, None if order.state in _OPEN else order.reason)


@patient
def end_pool(uow: UnitOfWork, now: datetime, order_id: OrderId, reason: CloseReason) -> bool:
    """Give a pooled lease back: its slot is free at once. Twice is once; returns whether there is such an order."""
    with uow:
        order = uow.orders.find(order_id, for_update=True)
        if order and order.state in _OPEN:
            give_back(uow, now, [order_id], reason)
            uow.commit()
    return order is not None


def give_back(uow: UnitOfWork, now: datetime, orders: list[OrderId], reason: CloseReason) -> None:
    """End gateways' orders, which the caller has locked: slots are free at once, settlement gives back what is held."""
    uow.nodes.give_back(uow.leases.end(orders, now))
    uow.orders.begin_close([(order, reason) for order in orders])
    uow.emit(Event(Topic.LEASES_ENDED))
    uow.emit(Event(Topic.OFFERS_CHANGED))
