"""Training items are reported, judged, and only then paid for; whatever happens between, nothing is paid twice."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid, TooLarge
from backend.domain.money import US_PER_S, charge_nano
from backend.domain.orders import CloseReason, OrderState
from backend.domain.trust import TRUST_KEPT, Evidence
from backend.domain.work import AGENT_LOST_S, ATTEMPTS_MAX, PAYLOAD_BYTES_MAX, ItemFailure
from backend.services import audit, canaries, holds, judging, nodes, placement, sweeper
from backend.services.escrow import HOLD_MARGIN
from backend.storage.nodes import Node
from backend.storage.order_rows import Order
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import ADMIN
from tests.integration.services.judged import FIT_S, UPDATE, Lab, task, wish
from tests.market import Market, Statements


def items(market: Market) -> list[tuple[Any, ...]]:
    """(state, charged, billed, outputs, error) of every item, in the order in which they were placed."""
    with market.app.engine.connect() as connection:
        statement = "SELECT state, charged_nano, billed_us, outputs, error FROM work_items ORDER BY id"
        return [tuple(row) for row in connection.execute(text(statement))]


def states(market: Market) -> list[str]:
    """The state of every item."""
    return [item[0] for item in items(market)]


def evidence(market: Market, node: Node) -> dict[Evidence, int]:
    """How much of which kind is known of a node."""
    with market.app.uow() as uow:
        events = uow.trust.histories([node.id], utc_now() - TRUST_KEPT)[node.id]
    return {event.kind: event.count for event in events}


def cost(market: Market, order: Order, busy_us: int) -> int:
    """What so much time costs at the price that the order's auction found."""
    with market.app.engine.connect() as connection:
        statement = text("SELECT price_nano_per_slot_s FROM leases WHERE order_id = :id")
        return charge_nano(connection.execute(statement, {"id": order.id}).scalar_one(), busy_us)


def is_over(market: Market, order: Order, charged_nano: int) -> bool:
    """Whether an order has ended with its round, with this charge and nothing held any more."""
    shown = market.show(order)
    return (shown.state, shown.reason, shown.charged_nano) == (
        OrderState.SETTLED,
        CloseReason.ROUND_ENDED,
        charged_nano,
    )


def test_an_order_of_training_holds_its_whole_fit_and_brings_the_task_to_the_one_node(market: Market) -> None:
    lab = Lab.of(market, 3)
    placed = lab.place()
    assert {order.worst_case_nano for order in placed} == {
        charge_nano(order.limit_nano_per_slot_s, FIT_S * US_PER_S) for order in placed
    }
    claimed = lab.claim()
    assert [item.node_id for item in claimed] == [node.id for node in lab.nodes]
    assert {bytes(item.inputs) for item in claimed} == {task(lab.job_id)}
    assert {item.model.name for item in claimed} == {"trainer.digits"}


def test_what_is_reported_is_neither_charged_nor_over_until_it_is_judged(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    held = market.wallet().reserved_nano
    [item] = lab.claim()
    assert lab.report([item]) == {item.item_id}
    assert lab.report([item]) == set(), "a second report of the same claim"
    for _ in range(2):
        market.settle()
        sweeper.sweep(market.app.uow(), utc_now())
    assert items(market) == [("reported", None, 5, UPDATE, None)]
    shown = market.show(order)
    assert (shown.state, shown.charged_nano) == (OrderState.RUNNING, 0)
    assert 0 < market.wallet().reserved_nano <= held


def test_an_accepted_update_is_paid_for_once_however_often_it_is_judged(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    [item] = lab.claim()
    lab.report([item], busy_us=7)
    for _ in range(2):
        lab.judge([order.id], [item.item_id])
        market.settle()
    assert is_over(market, order, cost(market, order, 7))
    assert market.wallet().reserved_nano == 0
    assert evidence(market, lab.nodes[0]) == {Evidence.SERVED: 1}
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_rejected_update_costs_nothing_says_why_and_speaks_against_its_node(market: Market) -> None:
    lab = Lab.of(market, 2)
    good, bad = lab.place()
    first, second = lab.claim()
    lab.report([first, second], busy_us=7)
    for _ in range(2):
        lab.judge([good.id, bad.id], [first.item_id], {second.item_id: "wrong_shape: 2 × 2"})
    assert is_over(market, good, cost(market, good, 7))
    assert is_over(market, bad, 0)
    assert items(market)[1] == ("rejected", None, 0, UPDATE, "wrong_shape: 2 × 2")
    assert evidence(market, lab.nodes[1]) == {Evidence.UPDATE_REJECTED: 1}
    assert market.wallet().reserved_nano == 0
    assert market.settle() == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_numbers_that_options_of_the_buyers_can_make_are_not_paid_for_and_speak_against_nobody(market: Market) -> None:
    lab = Lab.of(market, 3)
    placed = lab.place()
    claimed = lab.claim()
    lab.report(claimed, busy_us=7)
    reasons = ["not_finite: infinite", "out_of_range: a weight of 1e+30", "checksum_mismatch: out_of_range"]
    lab.judge([order.id for order in placed], (), dict(zip([item.item_id for item in claimed], reasons, strict=True)))
    assert states(market) == ["rejected"] * 3
    assert [market.show(order).charged_nano for order in placed] == [0, 0, 0]
    assert [evidence(market, node) for node in lab.nodes] == [{}, {}, {Evidence.UPDATE_REJECTED: 1}]


def test_what_is_late_or_not_needed_is_not_paid_and_its_node_not_blamed(market: Market) -> None:
    lab = Lab.of(market, 4)
    placed = lab.place()
    used, spare, late, silent = lab.claim()
    lab.report([used, spare])
    lab.judge([order.id for order in placed], [used.item_id])
    assert lab.report([late]) == set(), "its round is over"
    assert states(market) == ["settled", "rejected", "cancelled", "cancelled"]
    assert [market.show(order).charged_nano > 0 for order in placed] == [True, False, False, False]
    assert {market.show(order).reason for order in placed} == {CloseReason.ROUND_ENDED}
    assert [evidence(market, node) for node in lab.nodes[1:]] == [{}, {}, {}]
    assert lab.executor.database.beat(lab.executor.id, [(silent.item_id, silent.fence)]) == set()
    with market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT sum(busy_slots) FROM nodes")).scalar_one() == 0
    assert market.wallet().reserved_nano == 0


def test_a_participant_that_only_waits_is_closed_before_it_ever_had_a_lease(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    lab.judge([order.id])
    assert is_over(market, order, 0)
    assert market.clear() == 0
    assert market.wallet().reserved_nano == 0


def test_placing_and_judging_take_as_many_statements_for_twenty_as_for_two(market: Market) -> None:
    counts = []
    for size in (2, 20):
        lab = Lab.of(market, 0)
        lab.nodes = [market.node(f"n{size}-{number}") for number in range(size)]
        with Statements(market.app.engine) as placing:
            placed = lab.place()
        claimed = lab.claim()
        lab.report(claimed)
        accepted, refused = claimed[: size // 2], claimed[size // 2 :]
        with Statements(market.app.engine) as judged:
            lab.judge(
                [order.id for order in placed],
                [item.item_id for item in accepted],
                {item.item_id: "too_large" for item in refused},
            )
        counts.append((placing.count, judged.count))
    assert counts[0] == counts[1]
    assert states(market).count("settled") == 11


def test_an_update_counts_though_its_node_falls_silent_before_it_is_judged(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    [item] = lab.claim()
    lab.report([item])
    lab.executor.database.agent_stop(lab.executor.id)
    sweeper.sweep(market.app.uow(), in_seconds(AGENT_LOST_S + 0.1))
    sweeper.sweep(market.app.uow(), in_seconds(3_600))
    assert market.show(order).state is OrderState.RUNNING, "there is nothing to buy for it any more"
    lab.judge([order.id], [item.item_id])
    assert is_over(market, order, cost(market, order, 5))
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_node_that_has_reported_is_free_before_the_verdict_and_paid_after_it(market: Market) -> None:
    lab = Lab.of(market, 2)
    reported, running = lab.place()
    assert judging.free_nodes(market.app.uow(), utc_now()) == 0
    first, second = lab.claim()
    lab.report([first], busy_us=7)
    for freed in (1, 0):
        assert judging.free_nodes(market.app.uow(), utc_now()) == freed
    assert [node.busy_slots for node in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0, 1]
    market.settle()
    assert market.clear() == 0, "there is nothing left to buy for it"
    lab.report([second])
    lab.judge([reported.id, running.id], [first.item_id, second.item_id])
    assert is_over(market, reported, cost(market, reported, 7))
    assert [node.busy_slots for node in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0, 0]
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_task_whose_node_falls_silent_waits_for_that_node_again(market: Market) -> None:
    lab = Lab.of(market, 1)
    other = market.node("other", pool="other")
    market.executor("other")
    [order] = lab.place()
    [item] = lab.claim()
    lab.executor.database.agent_stop(lab.executor.id)
    sweeper.sweep(market.app.uow(), in_seconds(AGENT_LOST_S + 0.1))
    assert market.show(order).state is OrderState.OPEN
    assert lab.report([item]) == set()
    market.clear()
    assert states(market) == ["waiting"], f"{other.name} is not the one that was asked"
    lab.executor = market.executor()
    [again] = lab.claim()
    assert lab.report([again]) == {again.item_id}


def test_a_fit_that_always_fails_ends_its_order_unpaid_without_a_verdict(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    market.clear()
    dispatches = market.dispatched()
    for _ in range(ATTEMPTS_MAX):
        [item] = lab.executor.claim(dispatches)
        lab.executor.database.fail(lab.executor.id, [ItemFailure(item.item_id, item.fence, "the trainer raised")])
    sweeper.sweep(market.app.uow(), utc_now())
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason, shown.charged_nano) == (OrderState.FAILED, CloseReason.ATTEMPTS_EXHAUSTED, 0)
    lab.judge([order.id], [item.item_id])
    assert market.show(order) == shown


def test_what_nobody_judges_is_unpaid_once_its_hold_expires(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    [item] = lab.claim()
    lab.report([item])
    late = order.deadline_at + HOLD_MARGIN
    holds.expire(market.app.uow(), late)
    assert items(market)[0][0] == "rejected"
    shown = market.show(order)
    assert (shown.state, shown.reason, shown.charged_nano) == (OrderState.EXPIRED, CloseReason.HOLD_EXPIRED, 0)
    assert market.wallet().reserved_nano == 0
    lab.judge([order.id], [item.item_id], now=late)
    assert market.show(order).charged_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_only_what_is_judged_is_reported(market: Market) -> None:
    lab = Lab.of(market, 1)
    [training] = lab.place()
    market.node("other")
    [usual] = market.place()
    market.clear()
    lab.executor.commit(lab.executor.claim(market.dispatched()))
    assert sorted(states(market)) == ["committed", "reported"]
    market.settle()
    assert market.show(usual).state is OrderState.SETTLED
    with market.app.uow() as uow:
        ids = [row.id for row in uow.connection.execute(text("SELECT id FROM work_items WHERE state = 'settled'"))]
        judging.judge(uow, utc_now(), [usual.id], ids, {})
        uow.commit()
    assert market.show(training).state is OrderState.RUNNING


def test_an_update_is_no_canary_though_it_was_paid_for(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    [item] = lab.claim()
    lab.report([item])
    lab.judge([order.id], [item.item_id])
    checked = canaries.check(market.app.uow(), utc_now(), ADMIN, market.app.objects, "seed")
    assert checked == canaries.Checked(passed=0, failed=0, skipped=0)


def test_a_fit_says_nothing_of_how_slow_its_node_is(market: Market) -> None:
    lab = Lab.of(market, 1)
    [order] = lab.place()
    [item] = lab.claim()
    lab.report([item])
    lab.judge([order.id], [item.item_id])
    with market.app.uow() as uow:
        assert uow.balance.slowness(in_seconds(-60), 10) == {}
    market.node("other")
    market.place()
    market.run(lab.executor)
    with market.app.uow() as uow:
        assert uow.balance.slowness(in_seconds(-60), 10).keys() == {"pool.pool"}


@pytest.mark.parametrize(
    ("changes", "kind", "code", "field"),
    [
        ({"local_task": None}, Invalid, "workload_not_offered", "workload"),
        ({"model": "doubling", "local_task": b"x" * (PAYLOAD_BYTES_MAX + 1)}, TooLarge, "too_large", "config"),
        ({"max_budget_nano": 1}, Invalid, "budget_too_low", "max_budget"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_order_of_training_that_cannot_be_is_refused(
    market: Market, changes: dict[str, Any], kind: type[Exception], code: str, field: str
) -> None:
    lab = Lab.of(market, 1)
    request = wish(lab.nodes[0].id, lab.job_id, **changes)
    with market.app.uow() as uow:
        known = placement.catalogue(uow, utc_now(), [request])
        with pytest.raises(kind) as refused:
            placement.plan(request, known)
    assert (refused.value.code, refused.value.field) == (code, field)  # type: ignore[attr-defined]  # ours


def test_reports_that_race_the_verdict_are_in_it_or_void(market: Market) -> None:
    lab = Lab.of(market, 8)
    placed = lab.place()
    claimed = lab.claim()
    lab.report(claimed[:4])
    with ThreadPoolExecutor() as threads:
        late = [threads.submit(lab.report, [item]) for item in claimed[4:]]
        verdict = threads.submit(lab.judge, [order.id for order in placed], [item.item_id for item in claimed], {})
        settling = [threads.submit(market.settle) for _ in range(4)]
        verdict.result()
        assert all(one.result() >= 0 for one in settling)
        in_time = sum(len(one.result()) for one in late)
    found = states(market)
    assert found[:4] == ["settled"] * 4
    assert set(found[4:]) <= {"settled", "rejected", "cancelled"}
    assert found.count("cancelled") == 4 - in_time
    charged = sum(market.show(order).charged_nano for order in placed)
    assert charged == sum(charge for _, charge, *_ in items(market) if charge)
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok
