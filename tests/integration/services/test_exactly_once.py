"""Whatever is delivered twice, late or to the wrong one, an item's effect counts once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.dead_letters import MESSAGES_MAX, DeadMessage, DeathReason
from backend.domain.ids import AgentId, UnitId
from backend.domain.orders import OrderState
from backend.domain.work import AGENT_LOST_S, ATTEMPTS_MAX, CLAIM_S, ItemFailure, ItemResult
from backend.services import audit, orders, sweeper
from backend.storage.dead_letters import DeadLetterRepository
from tests.integration.services.clock import in_seconds
from tests.market import REQUEST, Market

LAPSED_S = CLAIM_S + 0.5


def say(market: Market, statement: str, **binds: object) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text(statement), binds)


def test_a_commit_after_the_order_was_cancelled_is_void_and_free(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    items = executor.claim(market.dispatched())
    orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert executor.database.beat(executor.id, [(items[0].item_id, items[0].fence)]) == set()
    assert executor.commit(items) == set()
    failure = ItemFailure(items[0].item_id, items[0].fence, "late")
    assert executor.database.fail(executor.id, [failure]) == set()
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.charged_nano) == (OrderState.CANCELLED, 0)
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_item_twice_in_one_commit_counts_once_and_its_first_result_stays(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    [item] = executor.claim(market.dispatched())
    twice = [ItemResult(item.item_id, item.fence, 5, b"one"), ItemResult(item.item_id, item.fence, 5, b"one")]
    assert executor.database.commit(executor.id, twice) == {item.item_id}
    assert executor.database.commit(executor.id, [ItemResult(item.item_id, item.fence, 9, b"two")]) == set()
    market.settle()
    with market.app.engine.connect() as connection:
        assert bytes(connection.execute(text("SELECT outputs FROM work_items")).scalar_one()) == b"one"
    assert market.show(order).charged_nano == 5


def test_a_result_and_a_failure_of_one_claim_count_once(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [item] = executor.claim(market.dispatched())
    assert executor.commit([item]) == {item.item_id}
    failure = ItemFailure(item.item_id, item.fence, "after all")
    assert executor.database.fail(executor.id, [failure]) == set()


def test_a_message_that_is_delivered_to_many_at_once_is_claimed_by_one_item_by_item(market: Market) -> None:
    market.node("a")
    rivals = [market.executor() for _ in range(4)]
    market.place(requests=[REQUEST] * 50, workload="batch")
    market.clear()
    dispatches = market.dispatched()
    start = Barrier(len(rivals))

    def claim(index: int) -> list[object]:
        start.wait()
        return [item.item_id for item in rivals[index].claim(dispatches)]

    with ThreadPoolExecutor(len(rivals)) as pool:
        claimed = [item for items in pool.map(claim, range(len(rivals))) for item in items]
    assert len(claimed) == len(set(claimed)) == 50


@pytest.mark.parametrize(("state", "given"), [("up", 1), ("draining", 1), ("stopped", 0), ("lost", 0)])
def test_an_agent_that_has_ended_or_is_lost_claims_nothing(market: Market, state: str, given: int) -> None:
    """One that drains may: the message is in its hand, and would be spent."""
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    say(market, "UPDATE agents SET state = :state", state=state)
    executor.beat()  # a sign of life does not make it one that is up
    assert len(executor.claim(market.dispatched())) == given


def test_a_unit_whose_items_moved_is_neither_sent_again_nor_claimed(market: Market) -> None:
    market.node("doomed", pool="doomed")
    doomed = market.executor("doomed")
    market.place()
    market.clear()
    [old] = market.dispatched()
    market.node("healthy", pool="healthy")
    later = in_seconds(AGENT_LOST_S + 0.1)
    doomed.database.agent_stop(doomed.id)
    assert sweeper.sweep(market.app.uow(), later).moved_orders == 1
    healthy = market.executor("healthy")
    market.clear()
    [new] = market.dispatched()
    assert new.unit_id != old.unit_id
    say(market, "UPDATE agents SET state = 'up', beat_at = clock_timestamp()")  # it was only silent
    assert doomed.claim([old]) == []
    with market.app.uow() as uow:
        assert [d.unit_id for d in uow.work.resend(in_seconds(3_600), 10)] == [new.unit_id]
    assert len(healthy.claim([new])) == 1


def test_a_claim_that_ran_out_but_was_not_returned_yet_still_commits_once(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [item] = executor.claim(market.dispatched())
    say(market, "UPDATE work_items SET claimed_until = clock_timestamp() - interval '1 s'")
    assert executor.commit([item]) == {item.item_id}
    with market.app.uow() as uow:
        assert uow.work.lapse(in_seconds(LAPSED_S), limit=10) == []


def test_an_item_that_kills_its_agents_takes_its_neighbours_through_two_attempts_and_then_dies_alone(
    market: Market,
) -> None:
    market.node("a", slots=8)
    executor = market.executor()
    [order] = market.place(requests=[REQUEST] * 5, workload="batch")
    market.clear()
    dispatches = market.dispatched()
    poison = executor.claim(dispatches)[0].item_id
    for _ in range(ATTEMPTS_MAX - 1):
        with market.app.uow() as uow:
            uow.work.lapse(in_seconds(LAPSED_S), limit=10)
            uow.outbox.add(uow.work.resend(in_seconds(LAPSED_S), 10), utc_now())
            uow.commit()
        dispatches = market.dispatched()
        claims = [executor.claim([dispatch]) for dispatch in dispatches]
    assert [len(items) for items in claims] == [1] * 5
    for items in claims:
        if items[0].item_id != poison:
            assert len(executor.commit(items)) == 1
    with market.app.uow() as uow:
        uow.work.lapse(in_seconds(LAPSED_S), limit=10)
        assert [letter.item_id for letter in uow.dead_letters.newest(None, None, None, None, False, 10, None)] == [
            poison
        ]
        uow.commit()
    sweeper.sweep(market.app.uow(), in_seconds(0))
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.charged_nano) == (OrderState.FAILED, 4 * 5)
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_commit_and_return_at_once_leave_one_of_both(market: Market) -> None:
    market.node("a", slots=8)
    executor = market.executor()
    market.place(requests=[REQUEST] * 50, workload="batch")
    market.clear()
    items = executor.claim(market.dispatched())
    start = Barrier(2)

    def commit() -> set[object]:
        start.wait()
        return executor.commit(items)

    def lapse() -> int:
        start.wait()
        with market.app.uow() as uow:
            lapses = uow.work.lapse(in_seconds(LAPSED_S), limit=100)
            uow.commit()
        return sum(lapse.items for lapse in lapses)

    with ThreadPoolExecutor(2) as pool:
        committing, lapsing = pool.submit(commit), pool.submit(lapse)
        assert len(committing.result()) + lapsing.result() == 50


def test_a_refused_message_is_recorded_and_comes_again_as_an_attempt(market: Market) -> None:
    executor = market.executor()
    dead = DeadMessage(DeathReason.UNKNOWN_VERSION, "version 2", 99, "cd" * 32, "excerpt")
    for _ in range(3):
        assert market.node_database.bury(executor.id, "pool.pool", dead)
    with market.app.uow() as uow:
        [letter] = uow.dead_letters.newest(None, None, None, None, False, 10, None)
    assert (letter.reason, letter.attempts, letter.size_bytes) == (DeathReason.UNKNOWN_VERSION, 3, 99)
    assert (letter.queue, letter.excerpt, letter.digest) == ("pool.pool", "excerpt", "cd" * 32)


def test_a_unit_is_unknown_only_if_there_is_none(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    [known] = market.dispatched()

    def bury(unit_id: UnitId) -> bool:
        dead = DeadMessage(DeathReason.UNKNOWN_UNIT, "?", 1, unit_id.hex, "", unit_id)
        return market.node_database.bury(executor.id, "pool.pool", dead)

    assert not bury(known.unit_id)
    assert bury(UnitId(new_id()))


def test_the_dead_messages_of_a_queue_are_bounded_and_only_agents_may_bury(market: Market) -> None:
    executor = market.executor()
    dead = DeadMessage(DeathReason.CORRUPT, "x", 1, "e" * 64, "")
    say(
        market,
        "INSERT INTO dead_letters (id, kind, queue, reason, attempts, size_bytes, digest, died_at)"
        " SELECT gen_random_uuid(), 'message', 'pool.pool', 'corrupt', 1, 1, n::text, now()"
        " FROM generate_series(2, :n) n",
        n=MESSAGES_MAX,
    )
    assert market.node_database.bury(executor.id, "pool.pool", dead)
    other = DeadMessage(DeathReason.CORRUPT, "x", 1, "f" * 64, "")
    assert not market.node_database.bury(executor.id, "pool.pool", other)
    assert market.node_database.bury(executor.id, "pool.pool", dead)  # the same one again is no further row
    assert market.node_database.bury(executor.id, "pool.other", other)
    assert not market.node_database.bury(AgentId(new_id()), "pool.third", other)
    with market.app.engine.connect() as connection:
        assert len(DeadLetterRepository(connection).newest(None, None, "pool.third", None, True, 10, None)) == 0


def test_an_agent_cannot_declare_an_item_dead(market: Market) -> None:
    executor = market.executor()
    forged = DeadMessage(DeathReason.FAILED, "x", 1, "a" * 64, "")
    assert not market.node_database.bury(executor.id, "pool.pool", forged)
