"""Interruptible work makes room, with notice, and pays for what ran."""

from datetime import timedelta

from backend.bootstrap import utc_now
from backend.domain.orders import OrderState
from backend.domain.preemption import NOTICE
from backend.services import allocation, audit, preemption, receipts
from tests.integration.services.clock import in_seconds
from tests.market import REQUEST, Market
from tests.onnx_files import request as tensor_request

HIGH = 3_000_000
AFTER = NOTICE + timedelta(milliseconds=100)


def evict(market: Market) -> int:
    """What happens when the notice is over."""
    return preemption.evict_due(market.app.uow, utc_now() + AFTER)


def test_an_interruptible_batch_leaves_for_a_higher_tier_and_is_charged_for_what_ran(market: Market) -> None:
    market.node("a", kind="cloud")
    executor = market.executor()
    requests = [tensor_request((float(n), 1.0)) for n in range(4)]
    [batch] = market.place(workload="batch", requests=requests, interruptible=True, deadline_s=600)
    market.clear()
    items = executor.claim(market.dispatched())
    executor.commit(items[:1], busy_us=5)
    [urgent] = market.place(tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    assert market.show(urgent).state is OrderState.OPEN
    assert preemption.evict_due(market.app.uow, utc_now()) == 0
    executor.commit(items[1:2], busy_us=5)  # there is time to end what runs
    assert evict(market) == 1
    assert executor.commit(items[2:]) == set()
    market.settle()
    market.run(executor)
    assert market.show(urgent).state is OrderState.SETTLED
    assert market.show(batch).state is OrderState.OPEN
    assert market.show(batch).charged_nano == 10

    market.run(executor)
    receipt = receipts.receipt(market.app.uow(), batch.id, market.buyer)
    assert receipt.order.state is OrderState.SETTLED
    assert [served.items for served in receipt.served] == [2, 2]
    assert receipt.charged_nano + receipt.released_nano == receipt.held_nano
    assert audit.audit_ledger(market.app.uow()).ok


def test_notice_is_given_once_and_no_new_work_is_put_on_the_lease(market: Market) -> None:
    market.node("a", kind="cloud")
    executor = market.executor()
    market.place(workload="batch", requests=[REQUEST] * 3, interruptible=True)
    market.clear()
    first = market.dispatched()
    market.place(tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    with market.app.uow() as uow:
        [told] = uow.interruptions.due(in_seconds(60), 10)
    market.clear(in_seconds(1))
    with market.app.uow() as uow:
        assert uow.interruptions.due(in_seconds(NOTICE.total_seconds()), 10) == [told]
    executor.commit(executor.claim(first))
    assert allocation.dispatch_more(market.app.uow(), utc_now()) == 0


def test_nobody_leaves_for_an_equal_or_for_less_money(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    market.place(interruptible=True, limit_nano_per_slot_s=HIGH)
    market.clear()
    market.place(tier="large", limit_nano_per_slot_s=HIGH - 1)
    market.place(tier="medium", limit_nano_per_slot_s=HIGH * 2)
    market.clear()
    assert evict(market) == 0


def test_work_that_is_not_interruptible_stays(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    market.place()
    market.clear()
    market.place(tier="enterprise", limit_nano_per_slot_s=HIGH)
    market.clear()
    assert evict(market) == 0


def test_an_eviction_twice_is_once(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    [batch] = market.place(interruptible=True)
    market.clear()
    market.place(tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    assert [evict(market), evict(market)] == [1, 0]
    assert market.show(batch).state is OrderState.OPEN
    assert audit.audit_ledger(market.app.uow()).ok
