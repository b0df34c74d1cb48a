"""Holds follow the price, and end in time."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.errors import BudgetExceeded
from backend.domain.ids import HoldId
from backend.domain.money import charge_nano
from backend.domain.orders import CloseReason, OrderState
from backend.domain.work import AGENT_LOST_S
from backend.services import audit, budgets, escrow, holds, orders, sweeper
from tests.integration.services.clock import in_seconds
from tests.market import ASK, Market

DEAR = 100 * ASK


def test_clearing_gives_back_what_the_price_leaves_of_the_worst_case(market: Market) -> None:
    market.node("a", slots=2, ask=DEAR)
    market.executor()
    [placed] = market.place(limit_nano_per_slot_s=3 * DEAR)
    assert market.wallet().reserved_nano == placed.worst_case_nano
    market.clear()
    assert market.wallet().reserved_nano == -(-placed.worst_case_nano // 3)
    assert market.show(placed).limit_nano_per_slot_s == 3 * DEAR
    assert holds.lower(market.app.uow(), utc_now(), [placed.id]) == 0  # twice is once
    assert audit.audit_ledger(market.app.uow()).ok


def test_what_ran_is_charged_from_a_lowered_hold_and_the_rest_released(market: Market) -> None:
    market.node("a", slots=2, ask=DEAR)
    executor = market.executor()
    [placed] = market.place(limit_nano_per_slot_s=3 * DEAR)
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=7)
    market.settle()
    assert market.show(placed).charged_nano == charge_nano(DEAR, 7)
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_order_whose_node_dies_is_held_at_its_limit_again_and_clears_at_a_dearer_node(market: Market) -> None:
    market.node("doomed", ask=DEAR, pool="doomed")
    doomed = market.executor("doomed")
    [placed] = market.place(limit_nano_per_slot_s=3 * DEAR)
    market.clear()
    market.node("dear", ask=2 * DEAR, pool="dear")
    doomed.database.agent_stop(doomed.id)
    sweeper.sweep(market.app.uow(), in_seconds(AGENT_LOST_S + 0.1))
    assert market.wallet().reserved_nano == placed.worst_case_nano
    dear = market.executor("dear")
    market.clear()
    dear.commit(dear.claim(market.dispatched()), busy_us=5)
    market.settle()
    assert market.show(placed).charged_nano == charge_nano(2 * DEAR, 5)
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_order_that_cannot_be_held_at_its_limit_again_bids_what_its_hold_covers(market: Market) -> None:
    market.node("doomed", slots=2, ask=DEAR, pool="doomed")
    doomed = market.executor("doomed")
    worst = orders.quote(market.app.uow(), utc_now(), market.request(limit_nano_per_slot_s=3 * DEAR)).worst_case_nano
    poor = market.account("poor", worst)
    placed = orders.place_workload(
        market.app.uow(), utc_now(), poor, market.request(limit_nano_per_slot_s=3 * DEAR)
    ).orders[0]
    market.clear()
    left = worst + -(-worst // -3)  # what clearing gave back
    again = market.request(limit_nano_per_slot_s=2 * DEAR)
    spent = orders.place_workload(market.app.uow(), utc_now(), poor, again).orders[0].worst_case_nano
    assert spent <= left
    doomed.database.agent_stop(doomed.id)
    sweeper.sweep(market.app.uow(), in_seconds(AGENT_LOST_S + 0.1))
    after = orders.show_order(market.app.uow(), placed.id, poor)
    assert after.state is OrderState.OPEN
    assert 0.9 * DEAR <= after.limit_nano_per_slot_s <= DEAR
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_hold_whose_time_is_over_ends_with_its_order_and_what_ran_is_charged(market: Market) -> None:
    market.node("a", slots=2, ask=DEAR)
    executor = market.executor()
    [ran, waits] = [*market.place(), *market.place(deadline_s=600)]
    market.clear()
    [first, *_] = market.dispatched()
    executor.commit(executor.claim([first])[:1], busy_us=5)
    assert holds.expire(market.app.uow(), in_seconds(600)) == 0
    assert holds.expire(market.app.uow(), utc_now() + timedelta(days=2)) == 2
    states = {market.show(order).reason for order in (ran, waits)}
    assert states == {CloseReason.HOLD_EXPIRED}
    assert sum(market.show(order).charged_nano for order in (ran, waits)) == charge_nano(DEAR, 5)
    assert market.wallet().reserved_nano == 0
    assert holds.expire(market.app.uow(), utc_now() + timedelta(days=2)) == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_hold_that_belongs_to_nothing_expires_by_itself(market: Market) -> None:
    market.node("a", slots=2, ask=DEAR)
    market.executor()
    [order] = market.place()
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE orders SET state = 'settled'")  # as if its end had been lost
    assert holds.expire(market.app.uow(), utc_now() + timedelta(days=2)) == 1
    with market.app.uow() as uow:
        assert uow.ledger.lock_holds([order.hold_id])[order.hold_id].state == "expired"
    assert market.wallet().reserved_nano == 0


@pytest.mark.parametrize(("others", "refused"), [(30, True), (29, False)])
def test_a_hold_that_is_raised_after_midnight_is_asked_of_the_budget_of_its_own_day(
    market: Market, others: int, refused: bool
) -> None:
    yesterday, today = datetime(2031, 3, 1, 23, 59, tzinfo=UTC), datetime(2031, 3, 2, 0, 1, tzinfo=UTC)
    owner = market.buyer.account_id
    budgets.set_budget(market.app.uow(), yesterday, market.buyer, owner, budgets.BudgetWish("day", 100))

    def need(nano: int, hold: HoldId) -> escrow.Need:
        return escrow.Need(market.buyer.spender, hold, nano, today)

    first = HoldId(new_id())
    with market.app.uow() as uow:
        escrow.reserve_one(uow, yesterday, need(71, first))
        escrow.reserve_one(uow, yesterday, need(others - 1, HoldId(new_id())))
        escrow.reserve_one(uow, today, need(100, HoldId(new_id())))  # that day is full, which is not asked
        outcomes = escrow.raise_held(uow, today, [need(1, first)], uow.ledger.lock_holds([first]), yesterday)
        uow.commit()
    assert [isinstance(outcome, BudgetExceeded) for outcome in outcomes] == [refused]
    assert audit.audit_ledger(market.app.uow()).ok
