"""Queued work moves from a slow node to a quick one of the same order, and is charged once, at its lease's price."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.balancing import released
from backend.domain.machines import Needs
from backend.domain.orders import OrderState
from backend.domain.work import ClaimedItem, Dispatch
from backend.services import audit, balancing, receipts
from backend.storage.order_rows import Order
from tests.market import ASK, REQUEST, Executor, Market, Statements
from tests.waiting import PATIENCE_S

ITEM_US = 500_000  # profiled
ITEMS = 20


@pytest.fixture
def slow_model(market: Market) -> None:
    """The model's items take half a second, as far as anybody knows."""
    with market.app.uow() as uow:
        statement = text("UPDATE models SET us_per_call = :call, us_per_row = 1")
        uow.connection.execute(statement, {"call": ITEM_US - 1})
        uow.commit()


def begin(market: Market) -> tuple[Order, Executor, Executor, list[Dispatch]]:
    """An order with a lease on each of two nodes, of which neither has begun."""
    market.node("slow", pool="slow")
    market.node("quick", pool="quick")
    slow, quick = market.executor("slow"), market.executor("quick")
    [order] = market.place(workload="batch", requests=[REQUEST] * ITEMS, slots=2)
    assert market.clear() == 1
    return order, slow, quick, market.dispatched()


def finish(market: Market, executor: Executor, sent: Sequence[Dispatch], busy_us: int) -> int:
    """Run and commit what the executor is sent."""
    return len(executor.commit(executor.claim(sent), busy_us))


def counts(market: Market) -> dict[tuple[str, str], int]:
    """Items by the pool that has them and their state."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT n.name, i.state, count(*) FROM work_items i JOIN leases l ON l.id = i.lease_id"
                " JOIN nodes n ON n.id = l.node_id GROUP BY 1, 2"
            )
        )
        return {(name, state): count for name, state, count in rows}


def claim_while_moving(
    market: Market, executor: Executor, dispatches: Sequence[Dispatch]
) -> tuple[list[ClaimedItem], int]:
    """Claim these units and balance the market at the same moment; what was claimed, and how much moved."""
    start = Barrier(2)

    def claim() -> list[ClaimedItem]:
        start.wait()
        return executor.claim(dispatches)

    def move() -> int:
        start.wait()
        return balancing.balance(market.app.uow(), utc_now())

    with ThreadPoolExecutor(2) as threads:
        claiming, moving = threads.submit(claim), threads.submit(move)
        return claiming.result(PATIENCE_S), moving.result(PATIENCE_S)


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_what_a_slow_node_has_not_begun_moves_to_the_quick_one_and_each_item_is_charged_once(market: Market) -> None:
    order, slow, quick, sent = begin(market)
    assert counts(market) == {("slow", "queued"): ITEMS // 2, ("quick", "queued"): ITEMS // 2}
    assert finish(market, quick, sent, busy_us=1_000) == ITEMS // 2
    slow.beat()
    quick.beat()
    moved = balancing.balance(market.app.uow(), utc_now())
    assert 4 <= moved <= ITEMS // 2, "all but what the slow one does before the quick one would be done"
    assert balancing.balance(market.app.uow(), utc_now()) == 0, "it is even now"
    fresh = market.dispatched()
    assert {dispatch.queue for dispatch in fresh} == {"pool.quick"}
    left = slow.claim(sent)
    assert len(left) == ITEMS // 2 - moved, "the older message brings only what stayed"
    assert finish(market, quick, fresh, busy_us=1_000) == moved
    assert len(slow.commit(left, busy_us=1_000)) == len(left)
    market.settle()
    market.settle()
    assert market.show(order).state is OrderState.SETTLED
    receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
    assert {served.node_name: served.items for served in receipt.served} == {
        "slow": ITEMS // 2 - moved,
        "quick": ITEMS // 2 + moved,
    }
    assert receipt.charged_nano == sum(served.charged_nano for served in receipt.served) > 0
    assert receipt.charged_nano + receipt.released_nano == receipt.held_nano


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_what_was_claimed_stays_where_it_is(market: Market) -> None:
    _, slow, quick, sent = begin(market)
    running = slow.claim(sent)
    assert len(running) == ITEMS // 2
    finish(market, quick, sent, busy_us=1_000)
    slow.beat()
    quick.beat()
    assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert len(slow.commit(running)) == ITEMS // 2


@pytest.mark.usefixtures("slow_model")
def test_a_node_that_lost_what_the_order_needs_gets_nothing(market: Market) -> None:
    market.node("spare", pool="spare", cores=1)
    for name in ("slow", "quick"):
        market.node(name, pool=name, cores=8)
    slow, quick = market.executor("slow"), market.executor("quick")
    market.place(workload="batch", requests=[REQUEST] * ITEMS, slots=2, needs=Needs(cores=8))
    market.clear()
    finish(market, quick, market.dispatched(), busy_us=1_000)
    slow.beat()
    quick.beat()
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE nodes SET cores = 4 WHERE name = 'quick'"))
        uow.commit()
    assert balancing.balance(market.app.uow(), utc_now()) == 0
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE nodes SET cores = 8 WHERE name = 'quick'"))
        uow.commit()
    assert balancing.balance(market.app.uow(), utc_now()) > 0


@pytest.mark.usefixtures("slow_model")
def test_nothing_moves_to_a_lease_that_costs_more_or_has_to_leave(market: Market) -> None:
    _, slow, quick, sent = begin(market)
    finish(market, quick, sent, busy_us=1_000)
    slow.beat()
    quick.beat()
    on_quick = "UPDATE leases SET {} WHERE node_id = (SELECT id FROM nodes WHERE name = 'quick')"
    for worse, better in (
        ("price_nano_per_slot_s = price_nano_per_slot_s + 1", "price_nano_per_slot_s = price_nano_per_slot_s - 1"),
        ("leave_at = now()", "leave_at = NULL"),
    ):
        for change, moves in ((worse, False), (better, True)):
            with market.app.uow() as uow:
                uow.connection.execute(text(on_quick.format(change)))
                uow.commit()
            if not moves:
                assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert balancing.balance(market.app.uow(), utc_now()) > 0


@pytest.mark.usefixtures("slow_model")
def test_an_even_market_is_left_alone_at_the_cost_of_one_statement_or_three(market: Market) -> None:
    with Statements(market.app.engine) as statements:
        assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert statements.count == 1
    begin(market)
    with Statements(market.app.engine) as statements:
        assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert statements.count == 2
    assert audit.audit_ledger(market.app.uow()).ok


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_an_order_that_has_not_begun_on_a_crowded_node_is_auctioned_again_when_a_cheaper_one_idles(
    market: Market,
) -> None:
    market.node("dear", pool="dear", slots=2, ask=2 * ASK)
    dear = market.executor("dear")
    [first] = market.place(workload="batch", requests=[REQUEST] * ITEMS, limit_nano_per_slot_s=4 * ASK)
    market.clear()
    [second] = market.place(workload="batch", requests=[REQUEST] * 2, limit_nano_per_slot_s=4 * ASK)
    market.clear()
    sent = market.dispatched()
    running = [item for dispatch in sent for item in dear.claim([dispatch])][:ITEMS]
    assert {item.item_id for item in running}, "the first has begun"
    with market.app.uow() as uow:  # the second has not: its claim is given back
        uow.connection.execute(
            text("UPDATE work_items SET state = 'queued', claimed_until = NULL WHERE order_id = :id"),
            {"id": second.id},
        )
        uow.commit()
    assert balancing.balance(market.app.uow(), utc_now()) == 0, "there is nobody else"
    market.node("late", pool="late", ask=ASK)
    late = market.executor("late")
    dear.beat()
    assert balancing.balance(market.app.uow(), utc_now()) == 1
    assert market.show(second).state is OrderState.OPEN
    assert market.show(first).state is OrderState.RUNNING, "what has begun stays"
    dear.beat()
    late.beat()
    assert market.clear() == 1
    assert counts(market)[("late", "queued")] == 2
    assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert finish(market, late, market.dispatched(), busy_us=1_000) == 2
    market.settle()
    assert market.show(second).state is OrderState.SETTLED
    receipt = receipts.receipt(market.app.uow(), second.id, market.buyer)
    assert {served.node_name: served.items for served in receipt.served} == {"dear": 0, "late": 2}


@pytest.mark.usefixtures("slow_model")
def test_an_order_stays_when_an_idle_node_that_asks_as_much_would_not_end_it_sooner(market: Market) -> None:
    market.node("slow", pool="slow")
    slow = market.executor("slow")
    [order] = market.place(workload="batch", requests=[REQUEST] * ITEMS)
    market.clear()
    market.node("quick", pool="quick")
    market.executor("quick")
    slow.beat()
    assert balancing.balance(market.app.uow(), utc_now()) == 0
    assert market.show(order).state is OrderState.RUNNING


def queue_up(market: Market, count: int) -> tuple[Executor, Executor, list[Order], list[Dispatch]]:
    """Orders of four seconds each on a crowded node, of which none has begun; an idle one that asks as much is new."""
    market.node("crowded", pool="crowded", slots=count)
    crowded = market.executor("crowded")
    placed = market.place(count, workload="batch", requests=[REQUEST] * 8)
    assert market.clear() == count
    market.node("idle", pool="idle", slots=count)
    idle = market.executor("idle")
    crowded.beat()
    return crowded, idle, placed, market.dispatched()


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_orders_move_at_equal_asks_until_it_is_even_and_never_go_back(market: Market) -> None:
    crowded, idle, placed, old = queue_up(market, 5)
    found = []
    for _ in range(4):  # as often as the settlement agents look, with a clearing in between
        found.append(balancing.balance(market.app.uow(), utc_now()))
        assert market.clear() == 0, "what moves is not auctioned"
        crowded.beat()
        idle.beat()
    assert found == [2, 0, 0, 0]
    assert counts(market) == {("crowded", "queued"): 24, ("idle", "queued"): 16}
    fresh = market.dispatched()
    assert {dispatch.queue for dispatch in fresh} == {"pool.idle"}
    assert len(crowded.claim(old)) == 24, "the older messages bring only what stayed"
    assert finish(market, idle, fresh, busy_us=1_000) == 16
    market.settle()
    moved = [order for order in placed if market.show(order).state is OrderState.SETTLED]
    assert [order.id for order in moved] == sorted(order.id for order in placed)[-2:], "the last ones"
    for order in moved:
        receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
        assert {served.node_name: served.items for served in receipt.served} == {"crowded": 0, "idle": 8}
        assert len({served.price_nano_per_slot_s for served in receipt.served}) == 1, "as it was agreed"
        assert receipt.charged_nano + receipt.released_nano == receipt.held_nano


def busy_slots(market: Market) -> dict[str, int]:
    """Sold slots by node."""
    with market.app.engine.connect() as connection:
        return {row.name: row.busy_slots for row in connection.execute(text("SELECT name, busy_slots FROM nodes"))}


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_an_order_that_has_moved_does_not_come_back_when_its_first_node_is_the_idle_one(market: Market) -> None:
    crowded, idle, _, old = queue_up(market, 5)
    assert balancing.balance(market.app.uow(), utc_now()) == 2
    assert busy_slots(market) == {"crowded": 3, "idle": 2}
    finish(market, crowded, old, busy_us=1_000)
    market.settle()
    assert busy_slots(market) == {"crowded": 0, "idle": 2}
    for _ in range(3):
        crowded.beat()
        idle.beat()
        assert balancing.balance(market.app.uow(), utc_now()) == 0


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_nothing_moves_to_a_node_that_was_sold_or_withdrawn_meanwhile(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_up(market, 5)

    def overtaken(*arguments: object) -> object:
        """Somebody else is quicker, between the look and the locks."""
        decided = released(*arguments)  # type: ignore[arg-type]  # as they came
        assert len(decided) == 2
        with market.app.uow() as uow:
            uow.connection.execute(text(f"UPDATE {changes.pop(0)}"))
            uow.commit()
        return decided

    changes = [
        "offers SET state = 'withdrawn' WHERE node_id = (SELECT id FROM nodes WHERE name = 'idle')",
        "nodes SET busy_slots = slots - 1 WHERE name = 'idle'",
    ]
    monkeypatch.setattr("backend.services.balancing.released", overtaken)
    assert balancing.balance(market.app.uow(), utc_now()) == 0
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE offers SET state = 'open'"))
        uow.commit()
    assert balancing.balance(market.app.uow(), utc_now()) == 1
    assert busy_slots(market) == {"crowded": 4, "idle": 5}


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_what_is_claimed_while_it_would_move_is_run_once_wherever_that_is(market: Market) -> None:
    order, slow, quick, sent = begin(market)
    finish(market, quick, sent, busy_us=1_000)
    slow.beat()
    quick.beat()
    claimed, moved = claim_while_moving(market, slow, sent)
    claimed += slow.claim(sent)  # what was locked at that moment
    fresh = quick.claim(market.dispatched())
    assert len(fresh) == moved
    assert {item.item_id for item in claimed}.isdisjoint(item.item_id for item in fresh)
    assert len(slow.commit(claimed)) + len(quick.commit(fresh)) == ITEMS // 2
    market.settle()
    assert market.show(order).state is OrderState.SETTLED


@pytest.mark.usefixtures("slow_model", "books_in_order")
def test_an_order_that_is_claimed_while_its_lease_would_move_runs_once_wherever_that_is(market: Market) -> None:
    crowded, idle, placed, old = queue_up(market, 5)
    claimed, moved = claim_while_moving(market, crowded, old[::-1])  # the last first: those that would move
    claimed += crowded.claim(old)  # what was locked at that moment
    fresh = idle.claim(market.dispatched())
    assert len(fresh) == 8 * moved
    assert {item.item_id for item in claimed}.isdisjoint(item.item_id for item in fresh)
    assert len(crowded.commit(claimed)) + len(idle.commit(fresh)) == 40
    for _ in placed:
        market.settle()
    assert {market.show(order).state for order in placed} == {OrderState.SETTLED}
    assert busy_slots(market) == {"crowded": 0, "idle": 0}
