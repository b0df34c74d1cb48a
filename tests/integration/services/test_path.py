"""The path of an order, step by step through the services."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Conflict, InsufficientFunds, Invalid, NotFound, SwarmexError, Unavailable
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import CloseReason, OrderState
from backend.domain.pricing import EPOCH_S
from backend.services import accounts, audit, markets, nodes, orders, pricing, receipts, relay
from tests.integration.services.clock import in_seconds
from tests.market import ASK, REQUEST, Market


def test_an_order_is_held_leased_run_charged_and_its_rest_released(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    assert market.wallet().reserved_nano == order.worst_case_nano > 0
    market.clear()
    assert market.show(order).state is OrderState.RUNNING
    [item] = executor.claim(market.dispatched())
    assert executor.commit([item], busy_us=3) == {item.item_id}
    market.settle()

    receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
    assert receipt.order.state is OrderState.SETTLED
    assert receipt.charged_nano == 3  # 3 µs at 0.001 credits a second
    assert receipt.charged_nano + receipt.released_nano == receipt.held_nano == order.worst_case_nano
    wallet = market.wallet()
    assert (wallet.reserved_nano, wallet.wallet_nano) == (0, 1_000 * NANO_PER_CREDIT - receipt.charged_nano)
    earned = accounts.show_account(market.app.uow(), market.provider.account_id).earnings_nano
    assert earned + receipt.fee_nano == receipt.charged_nano
    assert audit.audit_ledger(market.app.uow()).ok


def test_billed_time_is_never_above_twice_the_profile_whatever_a_node_reports(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=10**15)
    market.settle()
    [item] = receipts.results(market.app.uow(), order.id, market.buyer)
    assert item.billed_us is not None
    assert item.billed_us <= market.model.profile.worst_case_us(1)
    assert market.show(order).charged_nano <= order.worst_case_nano


def test_one_message_carries_the_work_of_many_orders(market: Market) -> None:
    market.node("a", slots=100)
    executor = market.executor()
    market.place(100)
    market.clear()
    [dispatch] = market.dispatched()
    assert len(executor.claim([dispatch])) == 100


def test_a_batch_of_several_slots_is_spread_over_the_leases_that_it_got(market: Market) -> None:
    market.node("a", slots=2)
    market.node("b", slots=2, ask=ASK)
    executor = market.executor()
    [order] = market.place(workload="batch", requests=[REQUEST] * 8, slots=4)
    market.clear()
    executor.commit(executor.claim(market.dispatched()))
    market.settle()
    receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
    assert [(s.node_name, s.items) for s in receipt.served] == [("a", 4), ("b", 4)]


def test_the_best_bid_wins_the_only_slot_and_the_loser_waits_with_a_reason(market: Market) -> None:
    market.node("a")
    market.executor()
    [low] = market.place(limit_nano_per_slot_s=2 * ASK)
    [high] = market.place(limit_nano_per_slot_s=3 * ASK)
    market.clear()
    assert market.show(high).state is OrderState.RUNNING
    assert (market.show(low).state, market.show(low).reason) == (OrderState.OPEN, CloseReason.OUTBID)


def test_an_unmatched_order_moves_on_to_its_next_market(market: Market) -> None:
    market.node("fog", kind="fog")
    market.node("cloud", kind="cloud")
    market.executor()
    orders_placed = market.place(2, priority="balanced")
    assert {order.resource_class for order in orders_placed} == {"fog"}
    market.clear()
    market.clear()
    assert {market.show(order).resource_class for order in orders_placed} == {"fog", "cloud"}
    assert all(market.show(order).state is OrderState.RUNNING for order in orders_placed)


def test_an_order_that_may_not_wait_ends_with_the_reason_and_its_hold_released(market: Market) -> None:
    market.node("a")
    market.executor()
    first, second = market.place(2, deadline_s=0)
    market.clear()
    market.settle()
    states = {market.show(o).state for o in (first, second)}
    assert states == {OrderState.RUNNING, OrderState.EXPIRED}
    loser = next(market.show(o) for o in (first, second) if market.show(o).state is OrderState.EXPIRED)
    assert loser.reason is CloseReason.OUTBID
    assert market.wallet().reserved_nano == -(-first.worst_case_nano // 2)  # cleared at half its limit


def test_a_node_sells_no_more_slots_than_it_has_and_none_while_draining(market: Market) -> None:
    node = market.node("a", slots=3)
    market.executor()
    placed = market.place(5)
    market.clear()
    assert sum(market.show(o).state is OrderState.RUNNING for o in placed) == 3
    drained = nodes.drain_node(market.app.uow(), utc_now(), node.id, market.provider)
    assert (drained.state, drained.busy_slots, drained.ask_nano_per_slot_s) == ("draining", 3, None)


def test_prices_follow_utilisation_epoch_by_epoch_and_show_what_is_free(market: Market) -> None:
    market.node("a", slots=2)
    market.executor()
    pricing.reprice(market.app.uow(), in_seconds(-EPOCH_S))
    [quiet] = markets.list_prices(market.app.uow(), utc_now())
    assert (quiet.spot_nano_per_slot_s, quiet.slots_free, quiet.slots_live) == (ASK, 2, 2)
    market.place(2)
    market.clear()
    assert pricing.reprice(market.app.uow(), in_seconds(-1)) == 0  # that epoch is not over
    assert pricing.reprice(market.app.uow(), utc_now()) == 1
    [busy] = markets.list_prices(market.app.uow(), utc_now())
    assert busy.utilisation_ppm == 1_000_000
    assert quiet.spot_nano_per_slot_s < busy.spot_nano_per_slot_s <= quiet.spot_nano_per_slot_s * 9 // 8


def test_a_relay_that_fails_owes_everything_still(market: Market) -> None:
    market.node("a")
    market.executor()
    market.place()
    market.clear()

    def refuse(_: object) -> None:
        raise ConnectionError("no broker")

    with pytest.raises(ConnectionError):
        relay.relay(market.app.uow(), utc_now(), refuse)
    assert len(market.dispatched()) == 1
    assert market.dispatched() == []


@pytest.mark.parametrize(
    ("changes", "kind", "code", "field"),
    [
        ({"model": "nothing"}, NotFound, "unknown_model", "model"),
        ({"model_version": 9}, NotFound, "unknown_model_version", "model_version"),
        ({"tier": "giant"}, Invalid, "invalid_tier", "tier"),
        ({"workload": "training"}, Invalid, "workload_not_offered", "workload"),
        ({"region": "south"}, Unavailable, "no_capacity", "region"),
        ({"limit_nano_per_slot_s": ASK // 2 - 1}, Invalid, "limit_below_market", "limit"),
        ({"max_budget_nano": 1}, Invalid, "budget_too_low", "max_budget"),
        ({"limit_nano_per_slot_s": 10**18}, Invalid, "above_tier_cap", "limit"),
        ({"sla_required": True, "tier": "small"}, Invalid, "sla_not_offered", "sla_required"),
        ({"participants": 3}, Invalid, "not_applicable", "participants"),
    ],
)
def test_what_cannot_be_served_is_refused_and_writes_nothing(
    market: Market, changes: dict[str, object], kind: type[SwarmexError], code: str, field: str
) -> None:
    market.node("a")
    market.executor()
    with pytest.raises(kind) as refused:
        orders.place_workload(market.app.uow(), utc_now(), market.buyer, market.request(**changes))
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    assert orders.list_orders(market.app.uow(), market.buyer.account_id) == []
    assert market.wallet().reserved_nano == 0


def test_an_order_without_funds_is_refused_alone_in_its_batch(market: Market) -> None:
    market.node("a", ask=40 * NANO_PER_CREDIT)
    market.executor()
    poor = market.account("poor", 1)
    requests = [market.request(), market.request(model="nothing")]
    placed = orders.place_orders(market.app.uow(), utc_now(), poor, requests)
    assert [getattr(result, "code", None) for result in placed.results] == ["insufficient_funds", "unknown_model"]
    with pytest.raises(InsufficientFunds):
        orders.place_workload(market.app.uow(), utc_now(), poor, requests[0])


def test_cancelling_charges_what_ran_and_releases_the_rest_once(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place(workload="batch", requests=[REQUEST] * 4)
    market.clear()
    items = executor.claim(market.dispatched())
    executor.commit(items[:1], busy_us=5)
    cancelled = orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert (cancelled.state, cancelled.charged_nano) == (OrderState.CANCELLED, 5)
    assert orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer) == cancelled
    assert executor.commit(items[1:]) == set()
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_settled_order_cannot_be_cancelled(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.run(executor)
    with pytest.raises(Conflict) as refused:
        orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert refused.value.code == "order_closed"


def test_settling_twice_is_settling_once(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.run(executor)
    before = market.show(order)
    assert market.settle(utc_now() + timedelta(hours=1)) == 0
    assert market.show(order) == before


def test_somebody_elses_order_does_not_exist(market: Market) -> None:
    market.node("a")
    market.executor()
    [order] = market.place()
    stranger = market.account("stranger")
    for look in (orders.show_order, receipts.receipt, receipts.results):
        with pytest.raises(NotFound):
            look(market.app.uow(), order.id, stranger)
