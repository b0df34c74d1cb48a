"""Claims, fences, and what a node may do to the database."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from backend.bootstrap import new_id
from backend.domain.ids import ItemId
from backend.domain.orders import CloseReason, OrderState
from backend.domain.work import ATTEMPTS_MAX, CLAIM_S, PAYLOAD_BYTES_MAX, ItemFailure, ItemResult
from backend.services import audit, receipts, sweeper
from backend.storage.tables import Base
from tests.integration.services.clock import in_seconds
from tests.market import Market

LAPSED_S = CLAIM_S + 0.5


def test_a_late_commit_is_void_after_another_has_claimed_and_the_item_is_charged_once(market: Market) -> None:
    market.node("a")
    slow, quick = market.executor(), market.executor()
    [order] = market.place()
    market.clear()
    dispatches = market.dispatched()
    [stale] = slow.claim(dispatches)
    with market.app.uow() as uow:  # not a whole sweep: at that time the node would count as dead as well
        assert [lapsed.items for lapsed in uow.work.lapse(in_seconds(LAPSED_S), limit=10)] == [1]
        uow.commit()
    [fresh] = quick.claim(dispatches)
    assert fresh.fence == stale.fence + 1
    assert slow.commit([stale]) == set()
    assert quick.commit([fresh], busy_us=4) == {fresh.item_id}
    assert slow.commit([stale]) == set()
    market.settle()
    assert market.show(order).charged_nano == 4
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_commit_counts_once(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    items = executor.claim(market.dispatched())
    assert len(executor.commit(items)) == 1
    assert executor.commit(items) == set()


def test_a_beat_keeps_a_claim_and_tells_what_was_lost(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [item] = executor.claim(market.dispatched())
    assert executor.database.beat(executor.id, [(item.item_id, item.fence)]) == {item.item_id}
    assert executor.database.beat(executor.id, [(item.item_id, item.fence + 1)]) == set()


def test_a_message_that_comes_twice_finds_nothing_to_claim(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    dispatches = market.dispatched()
    assert len(executor.claim(dispatches)) == 1
    assert executor.claim(dispatches) == []


def test_an_agent_of_another_queue_cannot_claim_and_a_forged_agent_cannot_commit(market: Market) -> None:
    market.node("a")
    executor, other = market.executor(), market.executor("elsewhere")
    market.place()
    market.clear()
    [dispatch] = market.dispatched()
    assert other.database.claim(other.id, dispatch.unit_id) == []
    [item] = executor.claim([dispatch])
    assert other.commit([item]) == set()
    assert executor.commit([item]) == {item.item_id}


def test_an_item_that_always_fails_is_dead_after_its_attempts_and_costs_nothing(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    dispatches = market.dispatched()
    for _ in range(ATTEMPTS_MAX):
        [item] = executor.claim(dispatches)
        executor.database.fail(executor.id, [ItemFailure(item.item_id, item.fence, "the model raised")])
    assert executor.claim(dispatches) == []
    sweeper.sweep(market.app.uow(), in_seconds(0))
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason, shown.charged_nano) == (OrderState.FAILED, CloseReason.ATTEMPTS_EXHAUSTED, 0)
    [dead] = receipts.results(market.app.uow(), order.id, market.buyer)
    assert (dead.state, dead.error) == ("dead", "the model raised")
    assert market.wallet().reserved_nano == 0


def test_claims_attempts_and_payloads_are_limited_in_sql_as_in_the_domain(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [item] = executor.claim(market.dispatched())
    with market.app.engine.connect() as connection:
        seconds = connection.execute(text("SELECT claimed_until - claimed_at FROM work_items")).scalar_one()
    assert seconds.total_seconds() == pytest.approx(CLAIM_S, abs=0.01)
    large = ItemResult(item.item_id, item.fence, 1, b"x" * (PAYLOAD_BYTES_MAX + 1))
    assert executor.database.commit(executor.id, [large]) == set()
    negative = ItemResult(item.item_id, item.fence, -1, b"x")
    assert executor.database.commit(executor.id, [negative]) == set()
    exact = ItemResult(item.item_id, item.fence, 1, b"x" * PAYLOAD_BYTES_MAX)
    assert executor.database.commit(executor.id, [exact]) == {item.item_id}


def test_the_node_role_reads_and_writes_no_table(market: Market, node_database_url: str) -> None:
    engine = create_engine(node_database_url)
    statements = [f"SELECT 1 FROM {table}" for table in Base.metadata.tables]
    statements += ["DELETE FROM transfers", "UPDATE ledger_accounts SET posted_nano = 1", "CREATE TABLE mine (a int)"]
    for statement in statements:
        with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))
    engine.dispose()


def test_a_commit_for_an_item_that_does_not_exist_changes_nothing(market: Market) -> None:
    executor = market.executor()
    assert executor.database.commit(executor.id, [ItemResult(ItemId(new_id()), 1, 1, b"x")]) == set()
