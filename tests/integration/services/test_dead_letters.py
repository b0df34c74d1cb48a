"""What dies leaves a letter in the same transaction; an operator may revive it while its order runs."""

import hashlib
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.dead_letters import LETTERS_KEPT, DeadLetter, DeathReason, LetterKind, Resolution
from backend.domain.errors import Conflict, Forbidden, InsufficientFunds, NotFound
from backend.domain.ids import AccountId, DeadLetterId, ItemId
from backend.domain.orders import OrderState
from backend.domain.work import ATTEMPTS_MAX, CLAIM_S, ItemFailure
from backend.services import allocation, audit, dead_letters, holds, log, sweeper
from backend.storage.order_rows import Order
from tests.integration.services.clock import in_seconds
from tests.market import REQUEST, Executor, Market

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)


def letters(market: Market, **narrowed: object) -> list[DeadLetter]:
    return dead_letters.list_letters(market.app.uow(), ADMIN, **narrowed)  # type: ignore[arg-type]  # a test's own words


def kill(market: Market, executor: Executor, item_id: ItemId | None = None) -> ItemId:
    """Let one item fail until it is dead; the others of its unit go back."""
    market.clear()
    dispatches = market.dispatched()
    for _ in range(ATTEMPTS_MAX):
        items = executor.claim(dispatches)
        item_id = item_id or items[0].item_id
        with market.app.engine.begin() as connection:  # the others lose no attempt
            connection.execute(
                text("UPDATE work_items SET attempt = 0, state = 'queued' WHERE state = 'running' AND id <> :id"),
                {"id": item_id},
            )
        [mine] = [item for item in items if item.item_id == item_id]
        executor.database.fail(executor.id, [ItemFailure(mine.item_id, mine.fence, "the model raised")])
    assert item_id is not None
    return item_id


def half_dead(market: Market, executor: Executor) -> tuple[Order, ItemId]:
    """An order of two items, one of them dead and the other queued, so that it still runs."""
    market.node("a")
    [order] = market.place(requests=[REQUEST, REQUEST], workload="batch")
    return order, kill(market, executor)


def test_an_item_that_fails_too_often_leaves_a_letter_without_its_inputs(market: Market) -> None:
    order, item = half_dead(market, market.executor())
    [letter] = letters(market)
    with market.app.engine.connect() as connection:
        inputs = bytes(
            connection.execute(text("SELECT inputs FROM work_items WHERE id = :id"), {"id": item}).scalar_one()
        )
    assert (letter.kind, letter.reason) == (LetterKind.ITEM, DeathReason.FAILED)
    assert (letter.item_id, letter.order_id, letter.queue) == (item, order.id, "pool.pool")
    assert (letter.error, letter.attempts) == ("the model raised", ATTEMPTS_MAX)
    assert (letter.size_bytes, letter.digest) == (len(inputs), hashlib.sha256(inputs).hexdigest())
    assert letter.excerpt is None
    assert letter.resolution is None
    assert letter.id.version == 7


def test_an_item_whose_claims_ran_out_too_often_leaves_a_letter(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    dispatches = market.dispatched()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert letters(market) == []
        [item] = executor.claim(dispatches)
        assert item.attempt == attempt
        with market.app.uow() as uow:
            uow.work.lapse(in_seconds(CLAIM_S + 0.5), limit=10)
            uow.commit()
    [letter] = letters(market)
    assert (letter.reason, letter.error, letter.item_id) == (DeathReason.LAPSED, "claim ran out", item.item_id)


def test_a_death_that_is_rolled_back_leaves_no_letter(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    executor.claim(market.dispatched())
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE work_items SET attempt = :n"), {"n": ATTEMPTS_MAX})
    with market.app.uow() as uow:
        assert uow.work.lapse(in_seconds(CLAIM_S + 0.5), limit=10)
        assert len(uow.dead_letters.newest(None, None, None, None, False, 10, None)) == 1
    assert letters(market) == []


def test_a_retried_item_runs_and_is_charged_once(market: Market) -> None:
    executor = market.executor()
    order, item = half_dead(market, executor)
    [letter] = letters(market)
    retried = dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    assert (retried.resolution, letters(market)) == (Resolution.RETRIED, [])
    allocation.dispatch_more(market.app.uow(), utc_now())
    sweeper.sweep(market.app.uow(), in_seconds(0))
    claimed = executor.claim(market.dispatched())
    assert {(c.item_id, c.attempt) for c in claimed} >= {(item, 1)}
    assert len(executor.commit(claimed, busy_us=5)) == 2
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.charged_nano) == (OrderState.SETTLED, 2 * 5)
    assert market.wallet().reserved_nano == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_what_a_dead_item_left_behind_stays_void_after_its_retry(market: Market) -> None:
    executor = market.executor()
    market.node("a")
    market.place(requests=[REQUEST, REQUEST], workload="batch")
    market.clear()
    stale = executor.claim(market.dispatched())
    kill_again = stale[0].item_id
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE work_items SET attempt = :n"), {"n": ATTEMPTS_MAX})
    executor.database.fail(executor.id, [ItemFailure(stale[0].item_id, stale[0].fence, "x")])
    [letter] = letters(market)
    dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    allocation.dispatch_more(market.app.uow(), utc_now())
    [fresh] = [i for i in executor.claim(market.dispatched()) if i.item_id == kill_again]
    assert fresh.fence > stale[0].fence
    assert executor.commit([stale[0]]) == set()
    assert executor.commit([fresh]) == {fresh.item_id}


def test_money_that_was_given_back_is_held_again_or_the_retry_is_refused(market: Market) -> None:
    executor = market.executor()
    order, _ = half_dead(market, executor)
    [letter] = letters(market)
    holds.lower(market.app.uow(), utc_now(), [order.id])  # one item's worth is left
    before = market.wallet().reserved_nano
    with market.app.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE ledger_accounts SET posted_nano = reserved_nano WHERE owner_id = :account AND kind = 'wallet'"
            ),
            {"account": market.buyer.account_id},
        )
    with pytest.raises(InsufficientFunds):
        dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    assert [again.id for again in letters(market)] == [letter.id]
    assert market.wallet().reserved_nano == before
    with market.app.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE ledger_accounts SET posted_nano = posted_nano + 1000000000"
                " WHERE owner_id = :account AND kind = 'wallet'"
            ),
            {"account": market.buyer.account_id},
        )
    dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    assert market.wallet().reserved_nano == 2 * before


def test_an_item_of_an_order_that_has_ended_cannot_be_retried_but_dropped(market: Market) -> None:
    executor = market.executor()
    market.node("a")
    [order] = market.place()
    kill(market, executor)
    sweeper.sweep(market.app.uow(), in_seconds(0))
    market.settle()
    assert (market.show(order).state, market.wallet().reserved_nano) == (OrderState.FAILED, 0)
    [letter] = letters(market)
    with pytest.raises(Conflict) as refused:
        dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    assert refused.value.code == "order_ended"
    assert dead_letters.drop(market.app.uow(), utc_now(), ADMIN, letter.id).resolution is Resolution.DROPPED
    for again in (dead_letters.retry, dead_letters.drop):
        with pytest.raises(Conflict) as refused:
            again(market.app.uow(), utc_now(), ADMIN, letter.id)
        assert refused.value.code == "letter_resolved"
    assert [letter.resolution for letter in letters(market, resolved=True)] == [Resolution.DROPPED]


def test_decisions_are_in_the_audit_log_and_for_admins_only(market: Market) -> None:
    half_dead(market, market.executor())
    [letter] = letters(market)
    for refused in (
        lambda: dead_letters.list_letters(market.app.uow(), market.provider),
        lambda: dead_letters.show_letter(market.app.uow(), market.provider, letter.id),
        lambda: dead_letters.retry(market.app.uow(), utc_now(), market.provider, letter.id),
        lambda: dead_letters.drop(market.app.uow(), utc_now(), market.provider, letter.id),
    ):
        with pytest.raises(Forbidden):
            refused()
    dead_letters.retry(market.app.uow(), utc_now(), ADMIN, letter.id)
    [entry] = log.list_entries(market.app.uow(), action="dead_letter.")
    assert (entry.action, entry.subject) == ("dead_letter.retry", f"dead_letter {letter.id}")
    with pytest.raises(NotFound):
        dead_letters.show_letter(market.app.uow(), ADMIN, DeadLetterId(new_id()))


def test_letters_are_narrowed_and_read_in_pages(market: Market) -> None:
    order, _ = half_dead(market, market.executor())
    [letter] = letters(market, kind=LetterKind.ITEM, reason=DeathReason.FAILED, queue="pool.pool", order=order.id)
    assert letters(market, kind=LetterKind.MESSAGE) == []
    assert letters(market, reason=DeathReason.LAPSED) == []
    assert letters(market, queue="pool.other") == []
    assert letters(market, before=letter.id) == []


def test_letters_are_forgotten_after_their_time(market: Market) -> None:
    half_dead(market, market.executor())
    sweeper.forget(market.app.uow(), utc_now() + LETTERS_KEPT - timedelta(minutes=1))
    assert len(letters(market)) == 1
    sweeper.forget(market.app.uow(), utc_now() + LETTERS_KEPT + timedelta(minutes=1))
    assert letters(market, resolved=True) == []


def test_the_buyer_never_pays_for_what_died(market: Market) -> None:
    executor = market.executor()
    order, _ = half_dead(market, executor)
    before = market.wallet().wallet_nano
    sweeper.sweep(market.app.uow(), in_seconds(0))
    executor.commit(executor.claim(market.dispatched()), busy_us=7)
    market.settle()
    assert market.show(order).charged_nano == 7
    assert market.wallet().wallet_nano == before - 7
