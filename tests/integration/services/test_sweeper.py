"""What is lost is found again."""

from backend.domain.orders import CloseReason, OrderState
from backend.domain.work import AGENT_LOST_S, ItemFailure
from backend.services import audit, nodes, receipts, sweeper
from tests.integration.services.clock import in_seconds
from tests.market import Market


def test_work_of_a_dead_node_goes_back_to_the_auction_and_runs_elsewhere_once(market: Market) -> None:
    market.node("doomed", pool="doomed")
    doomed = market.executor("doomed")
    [order] = market.place()
    market.clear()
    [stale] = doomed.claim(market.dispatched())
    market.node("healthy", pool="healthy")
    doomed.database.agent_stop(doomed.id)
    later = in_seconds(AGENT_LOST_S + 0.1)
    report = sweeper.sweep(market.app.uow(), later)
    assert report.moved_orders == 1
    assert market.show(order).state is OrderState.OPEN
    healthy = market.executor("healthy")
    market.clear()
    [fresh] = healthy.claim(market.dispatched())
    assert doomed.commit([stale]) == set()
    assert healthy.commit([fresh], busy_us=6) == {fresh.item_id}
    market.settle()
    receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
    assert [(s.node_name, s.items) for s in receipt.served] == [("doomed", 0), ("healthy", 1)]
    assert receipt.charged_nano == 6
    assert {n.busy_slots for n in nodes.list_nodes(market.app.uow(), later, None)} == {0}
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_message_that_was_lost_is_sent_again(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    lost = market.dispatched()
    assert sweeper.sweep(market.app.uow(), in_seconds(0)).resent_units == 0
    executor.beat()
    assert sweeper.sweep(market.app.uow(), in_seconds(2)).resent_units == 0
    with market.app.uow() as uow:
        assert [d.unit_id for d in uow.work.resend(in_seconds(6), 10)] == [d.unit_id for d in lost]
        uow.commit()
    executor.commit(executor.claim(lost))
    market.settle()
    assert market.show(order).state is OrderState.SETTLED


def test_messages_are_sent_ever_more_rarely_until_somebody_takes_the_unit(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [message] = market.dispatched()

    def resent(at_s: float) -> int:
        with market.app.uow() as uow:
            found = len(uow.work.resend(in_seconds(at_s), 10))
            uow.commit()
        return found

    assert [resent(at_s) for at_s in (6, 12, 17)] == [1, 0, 1], "after 5 s, then after 10 s"
    [taken] = executor.claim([message])
    executor.database.fail(executor.id, [ItemFailure(taken.item_id, taken.fence, "no memory left")])
    assert [resent(at_s) for at_s in (18, 29)] == [1, 1], "the next two, as if it had been new"
    assert resent(38) == 0


def test_an_order_past_its_deadline_ends_with_the_reason_of_its_last_auction(market: Market) -> None:
    market.node("a")
    market.executor()
    market.place(limit_nano_per_slot_s=9_000_000)
    [loser] = market.place()
    [later] = market.place(deadline_s=600)
    market.clear()
    assert sweeper.sweep(market.app.uow(), in_seconds(61)).overdue_orders == 1
    market.settle()
    shown = market.show(loser)
    assert (shown.state, shown.reason) == (OrderState.EXPIRED, CloseReason.OUTBID)
    assert market.show(later).state is OrderState.OPEN


def test_a_sweep_of_a_healthy_market_changes_nothing(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.run(executor)
    before = market.show(order)
    report = sweeper.sweep(market.app.uow(), in_seconds(0))
    assert set(vars_of(report)) == {0}
    assert market.show(order) == before


def vars_of(report: sweeper.SweepReport) -> list[int]:
    """The figures of a report."""
    return [getattr(report, name) for name in report.__dataclass_fields__]
