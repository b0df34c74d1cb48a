"""Pooled leases: taken by auction for all users of a gateway, and given back; and what ends with its gateway."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.allowances import GATEWAY_LOST_S, POOL_ID, Report, Verdict
from backend.domain.errors import Conflict, Unavailable
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import CloseReason, OrderState
from backend.services import allowances, holds, nodes, orders, pools, sweeper
from tests.integration.services.clock import in_seconds
from tests.integration.services.pooling import (
    COST_NANO,
    allow,
    gateway_id,
    give_back,
    pooled,
    spend,
    tell,
    used,
)
from tests.market import ASK, Market

pytestmark = pytest.mark.usefixtures("books_in_order")
LOST_S = GATEWAY_LOST_S + 60  # later than any clock of the test


def test_a_pooled_lease_is_taken_by_auction_and_costs_nobody_anything_by_itself(market: Market) -> None:
    gateway = gateway_id()
    lease = pooled(market, gateway)
    assert (lease.price_nano_per_slot_s, lease.endpoint, lease.state) == (ASK, "http://127.0.0.1:1", "active")
    assert [n.busy_slots for n in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [1]
    for _ in range(2):
        pools.end_pool(market.app.uow(), utc_now(), lease.order_id, CloseReason.SESSION_IDLE)
    give_back(market)
    with market.app.uow() as uow:
        order = uow.orders.find(lease.order_id)
        assert uow.ledger.balances_of(POOL_ID)[AccountKind.WALLET].posted_nano == 0
    assert order
    assert (order.state, order.reason, order.charged_nano) == (OrderState.SETTLED, CloseReason.SESSION_IDLE, 0)
    assert [n.busy_slots for n in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0]


def test_without_a_free_slot_of_its_classes_there_is_no_pooled_lease(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    with pytest.raises(Unavailable) as refused:
        pools.open_pool(market.app.uow(), utc_now(), gateway_id(), "doubling")
    assert refused.value.code == "no_capacity"


def test_a_pooled_lease_ends_with_its_node_and_the_allowances_live_on(market: Market) -> None:
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    assert sweeper.sweep(market.app.uow(), in_seconds(60)).ended_sessions == 1
    give_back(market)
    stand = pools.pool_progress(market.app.uow(), utc_now(), lease.order_id)
    assert stand.refused is CloseReason.NODE_LOST
    assert stand.lease
    assert stand.lease.state == "ended"
    # What ran before is paid all the same.
    assert tell(market, gateway, Report(granted.order_id, 1, (used(lease),))) == {granted.order_id: Verdict.TAKEN}


def test_a_gateway_that_falls_silent_loses_what_it_holds_and_is_not_paid_for_what_it_tells_later(
    market: Market,
) -> None:
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    tell(market, gateway, Report(granted.order_id, 1, (used(lease, 2),)))
    assert allowances.end_lost(market.app.uow(), utc_now()) == 0
    give_back(market, in_seconds(LOST_S))
    order = orders.show_order(market.app.uow(), granted.order_id, market.buyer)
    assert (order.state, order.reason, order.charged_nano) == (
        OrderState.SETTLED,
        CloseReason.GATEWAY_LOST,
        2 * COST_NANO,
    )
    assert market.wallet().reserved_nano == 0
    assert [n.busy_slots for n in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0]
    assert tell(market, gateway, Report(granted.order_id, 2, (used(lease),))) == {granted.order_id: Verdict.ENDED}
    assert tell(market, gateway, Report(granted.order_id, 1, (used(lease, 2),))) == {granted.order_id: Verdict.KNOWN}
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT - 2 * COST_NANO


def test_a_report_without_anything_to_report_keeps_a_gateway_alive(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    allow(market, gateway)
    later = utc_now() + timedelta(seconds=LOST_S)
    tell(market, gateway, now=later)
    assert allowances.end_lost(market.app.uow(), later) == 0


def test_gateways_that_are_gone_are_forgotten_once_nothing_of_theirs_is_open(market: Market) -> None:
    gateway = gateway_id()
    spend(market, gateway, pooled(market, gateway), 1)
    later = utc_now() + timedelta(days=2)
    for _ in range(2):
        give_back(market, later)
    with market.app.uow() as uow:
        assert uow.connection.execute(text("SELECT count(*) FROM gateways")).scalar_one() == 0


def test_an_allowance_is_not_cancelled_from_outside_while_a_gateway_uses_it(market: Market) -> None:
    gateway = gateway_id()
    pooled(market, gateway)
    granted = allow(market, gateway)
    with pytest.raises(Conflict):
        orders.cancel_order(market.app.uow(), utc_now(), granted.order_id, market.buyer)


def test_a_hold_that_outlives_its_time_ends_with_its_allowance_or_pooled_lease(market: Market) -> None:
    gateway = gateway_id()
    lease, granted = pooled(market, gateway), allow(market, gateway)
    later = utc_now() + timedelta(days=3)
    assert holds.expire(market.app.uow(), later) == 2
    give_back(market, later)
    stand = pools.pool_progress(market.app.uow(), utc_now(), lease.order_id)
    assert stand.refused is CloseReason.HOLD_EXPIRED
    assert orders.show_order(market.app.uow(), granted.order_id, market.buyer).reason is CloseReason.HOLD_EXPIRED
    assert market.wallet().reserved_nano == 0


def test_what_a_gateway_does_not_know_it_has_is_ended_and_what_it_has_stays(market: Market) -> None:
    """As when it gave up waiting for an answer, or when giving back failed."""
    gateway, other = gateway_id(), gateway_id()
    kept, forgotten = pooled(market, gateway), allow(market, gateway)
    allow(market, other)
    call = partial(allowances.roll_call, market.app.uow(), gateway=gateway, held=[kept.order_id])
    assert call(now=utc_now()) == 0  # it may be on its way
    later = utc_now() + timedelta(seconds=LOST_S)
    assert (call(now=later), call(now=later)) == (1, 0)
    give_back(market)
    order = orders.show_order(market.app.uow(), forgotten.order_id, market.buyer)
    assert (order.state, order.reason) == (OrderState.SETTLED, CloseReason.GATEWAY_LOST)
    stand = pools.pool_progress(market.app.uow(), utc_now(), kept.order_id)
    assert (stand.refused, stand.lease and stand.lease.state) == (None, "active")
    assert market.wallet().reserved_nano == forgotten.held_nano  # the other gateway's
    assert allowances.roll_call(market.app.uow(), later, gateway, []) == 1
    with market.app.uow() as uow:
        assert uow.connection.execute(text("SELECT count(*) FROM gateway_orders WHERE is_open")).scalar_one() == 1
