"""Allowances: money held in blocks for real-time requests that are paid one by one, out of a gateway's memory.

An allowance is an order of its user's, so that budgets, bills, receipts, disputes and the audit know it as any other:
its hold is raised block by block, captured report by report (`allowance_reports`), and what is left is given back at
its end.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.access import Spender
from backend.domain.allowances import GATEWAY_LOST_S, USED_FOR_S_MAX, block_nano, request_max_nano
from backend.domain.budgets import BudgetPeriod, Tally, Wish
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, Invalid, SwarmexError
from backend.domain.ids import GatewayId, OrderId
from backend.domain.ledger import HoldState
from backend.domain.money import format_credits
from backend.domain.orders import REQUESTS, CloseReason, OrderState
from backend.services.escrow import Need, raise_held, reserve
from backend.services.models import choose
from backend.services.pools import POOL_TIER, gateway_order, give_back, small_markets
from backend.storage.contention import patient
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

LOST_MAX = 500
LOST_AFTER = timedelta(seconds=GATEWAY_LOST_S)
GATEWAYS_KEPT = timedelta(minutes=1)
BLOCK_TRIES_MAX = 4  # a block is asked for smaller where first a budget, then the wallet has less left


@dataclass(frozen=True, slots=True)
class Granted:
    """What a gateway may spend for a user, in nano-credits: altogether, and on one request; and until when."""

    order_id: OrderId
    held_nano: int
    request_max_nano: int
    until: datetime


@patient
def open_allowance(
    uow: UnitOfWork,
    now: datetime,
    gateway: GatewayId,
    spender: Spender,
    model: str,
    version: int | None,
    most_nano: int,
    price_nano_per_slot_s: int,
) -> Granted:
    """Hold a block for requests of which each costs `most_nano` at most; a smaller one if no more is left.

    Raises NotFound, Invalid(`above_tier_cap`), Unavailable(`no_capacity`), or InsufficientFunds or BudgetExceeded if
    not one request fits.
    """
    with uow:
        chosen = choose(uow.models.versions([model]), model, version)
        cap_nano, one_max_nano = _limits(uow, now, spender, most_nano)
        order = gateway_order(
            spender,
            chosen,
            small_markets(uow, now),
            now,
            REQUESTS,
            price_nano_per_slot_s,
            block_nano(most_nano, cap_nano),
            fee_ppm=uow.fees.current(now)[POOL_TIER],
        )
        until = now + timedelta(seconds=USED_FOR_S_MAX)
        held = _as_much_as_fits(
            order.worst_case_nano, most_nano, lambda nano: reserve(uow, now, [_need(order, nano, until)])
        )
        uow.orders.add([replace(order, worst_case_nano=held)])
        uow.allowances.add(order.id, gateway)
        uow.allowances.seen(gateway, now)
        uow.commit()
    return Granted(order.id, held, one_max_nano, until)


@patient
def raise_allowance(uow: UnitOfWork, now: datetime, gateway: GatewayId, order_id: OrderId, most_nano: int) -> Granted:
    """Hold the next block of an allowance: `held_nano` is by how much it was raised.

    Raises as `open_allowance` does, or Conflict(`allowance_ended`): then another is to be opened.
    """
    with uow:
        order = uow.orders.find(order_id, for_update=True)
        held = uow.allowances.held([order_id]).get(order_id)
        if order is None or held is None or held.gateway_id != gateway or order.state is not OrderState.RUNNING:
            raise _ended(order_id)
        cap_nano, one_max_nano = _limits(uow, now, order.spender, most_nano)
        until = order.placed_at + timedelta(seconds=USED_FOR_S_MAX)
        holds = uow.ledger.lock_holds([order.hold_id])
        if holds[order.hold_id].state is not HoldState.PENDING:  # used up to the last nano
            raise _ended(order_id)
        by_nano = _as_much_as_fits(
            block_nano(most_nano, cap_nano),
            most_nano,
            lambda nano: raise_held(uow, now, [_need(order, nano, until)], holds, order.placed_at),
        )
        uow.orders.raise_worst_case(order_id, by_nano)
        uow.commit()
    return Granted(order_id, by_nano, one_max_nano, until)


def end_lost(uow: UnitOfWork, now: datetime) -> int:
    """End allowances and pooled leases of gateways that were not heard of for GATEWAY_LOST_S; returns how many.

    What such a gateway had not reported, REPORT_S of requests at most, is never charged: its providers lose it.
    """
    with uow:
        lost = uow.allowances.lock_of_lost(now - LOST_AFTER, LOST_MAX)
        if lost:
            give_back(uow, now, lost, CloseReason.GATEWAY_LOST)
        else:
            uow.allowances.forget_gateways(now - GATEWAYS_KEPT)
        uow.commit()
    return len(lost)


@patient
def roll_call(uow: UnitOfWork, now: datetime, gateway: GatewayId, held: Collection[OrderId]) -> int:
    """End what a gateway does not know it has: it gave up waiting for it, or was not heard when it gave it back.

    `held` are all its allowances and pooled leases; what is younger than GATEWAY_LOST_S may be on its way to it.
    Returns how many were ended.
    """
    with uow:
        forgotten = uow.allowances.lock_forgotten(gateway, held, now - LOST_AFTER, LOST_MAX)
        if forgotten:
            give_back(uow, now, forgotten, CloseReason.GATEWAY_LOST)
        uow.allowances.close_ended(gateway)
        uow.commit()
    return len(forgotten)


def _limits(uow: UnitOfWork, now: datetime, spender: Spender, most_nano: int) -> tuple[int, int]:
    """The tier's cap, and what one request may cost; raises what one that costs `most_nano` is refused for."""
    cap_nano = uow.tiers.current(now)[POOL_TIER].request_cap_nano
    if most_nano > cap_nano:
        raise Invalid(
            f"the worst case of {format_credits(most_nano)} credits is above the cap of tier {POOL_TIER}",
            code="above_tier_cap",
            field="inputs",
            accepted=f"a worst case of at most {format_credits(cap_nano)} credits",
        )
    budgets = uow.budgets.limits([spender.account_id], now, {POOL_TIER})[spender.account_id].budgets
    one_max_nano = request_max_nano(budgets, spender.member_id, POOL_TIER, cap_nano)
    if most_nano > one_max_nano:
        refused = Tally(budgets).refusal(Wish(most_nano, POOL_TIER, BudgetPeriod.REQUEST, spender.member_id))
        assert refused, "a hard budget per request is below it"
        raise refused
    return cap_nano, one_max_nano


def _need(order: Order, nano: int, until: datetime) -> Need:
    """A block; budgets per request are not asked for it, but for each request that it is for."""
    return Need(order.spender, order.hold_id, nano, until, POOL_TIER, BudgetPeriod.MONTH)


def _as_much_as_fits(nano: int, most_nano: int, hold: Callable[[int], list[SwarmexError | None]]) -> int:
    """Hold `nano`, or as many whole requests as are left money for; raises why not even one is."""
    for _ in range(BLOCK_TRIES_MAX):
        [refused] = hold(nano)
        if refused is None:
            return nano
        nano = _left_of(refused) // most_nano * most_nano
        if nano <= 0:
            raise refused
    assert refused
    raise refused


def _left_of(refused: SwarmexError) -> int:
    match refused:
        case InsufficientFunds(available_nano=left) | BudgetExceeded(left_nano=left):
            return left
        case _:
            return 0


def _ended(order_id: OrderId) -> Conflict:
    return Conflict(f"allowance {order_id} has ended", code="allowance_ended")
