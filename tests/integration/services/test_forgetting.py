"""What is forgotten some time after its end: payloads, idempotency keys, what webhooks were told; never money."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.disputes import Dispute, DisputeState
from backend.domain.errors import NotFound
from backend.domain.idempotency import Idempotency
from backend.domain.ids import DisputeId, OrderId
from backend.domain.orders import OrderState
from backend.services import disputes, forgetting, orders, receipts, sessions
from backend.services.forgetting import BATCH_RESULTS_KEPT, DELIVERIES_KEPT, KEYS_KEPT, RESULTS_KEPT
from backend.services.webhook_news import NewsState, batch_news
from backend.storage.order_rows import Order
from tests.integration.services.batching import Batching, lines
from tests.integration.services.earning import ADMIN
from tests.market import Market, Statements
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("books_in_order")
SECOND = timedelta(seconds=1)


def ran(market: Market, count: int = 1) -> list[Order]:
    """Orders that have run and are settled."""
    placed = market.place(count)
    executor = market.executor()
    executor.beat()
    for _ in range(count + 3):
        market.run(executor)
    ended = [market.show(order) for order in placed]
    assert {order.state for order in ended} == {OrderState.SETTLED}
    return ended


def forget(market: Market, after: timedelta, since: datetime | None = None) -> None:
    """What is done by then, all of it."""
    uow, now = market.app.uow, (since or utc_now()) + after
    work: tuple[Callable[..., bool], ...] = (
        forgetting.forget_results,
        forgetting.forget_batches,
        forgetting.forget_answers,
    )
    for one in work:
        while one(uow(), now):
            continue


def payload(market: Market, order: Order) -> tuple[int, int | None]:
    """Bytes of an order's requests and answers."""
    with market.app.engine.begin() as connection:
        sums = "SELECT sum(octet_length(inputs)), sum(octet_length(outputs)) FROM work_items WHERE order_id = :id"
        given, got = connection.execute(text(sums), {"id": order.id}).one()
        return given, got


def waits(market: Market) -> bool:
    """Whether a transaction of this market waits for another's lock."""
    with market.app.engine.begin() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return connection.execute(text(waiting)).first() is not None


def results(market: Market, order: Order) -> int:
    """How many results of an order can be read."""
    return len(receipts.results(market.app.uow(), order.id, market.buyer))


def test_results_are_kept_as_long_as_they_may_be_contested_and_money_for_ever(market: Market) -> None:
    market.node("a", slots=4)
    [order] = ran(market)
    assert order.closed_at is not None
    before = receipts.receipt(market.app.uow(), order.id, market.buyer)
    forget(market, RESULTS_KEPT, since=order.closed_at)
    assert results(market, order) == 1
    forget(market, RESULTS_KEPT + SECOND, since=order.closed_at)
    assert payload(market, order) == (0, 0)
    with pytest.raises(NotFound) as refused:
        results(market, order)
    assert (refused.value.code, refused.value.field) == ("unknown_order_result", "order")
    assert receipts.receipt(market.app.uow(), order.id, market.buyer) == before
    forget(market, 2 * RESULTS_KEPT)


def test_an_order_that_is_disputed_keeps_its_results_until_that_is_resolved(market: Market) -> None:
    market.node("a", slots=4)
    contested, other = ran(market, 2)
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, contested.id, "all zeros")
    forget(market, RESULTS_KEPT + SECOND)
    assert (results(market, contested), payload(market, other)) == (1, (0, 0))
    forget(market, 2 * RESULTS_KEPT)
    assert results(market, contested) == 1
    disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "they are not")
    assert payload(market, contested) == (0, 0)


def test_a_dispute_that_is_resolved_in_time_drops_nothing(market: Market) -> None:
    market.node("a", slots=4)
    [order] = ran(market)
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "all zeros")
    disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "they are not")
    assert results(market, order) == 1


def test_what_has_not_ended_is_not_passed_by(market: Market) -> None:
    market.node("a", slots=4)
    waiting, ended = market.place(2)
    orders.cancel_order(market.app.uow(), utc_now(), ended.id, market.buyer)
    forget(market, 2 * RESULTS_KEPT)
    assert all(payload(market, order)[0] > 0 for order in (waiting, ended))
    orders.cancel_order(market.app.uow(), utc_now(), waiting.id, market.buyer)
    forget(market, RESULTS_KEPT - SECOND)
    assert payload(market, waiting)[0] > 0
    forget(market, RESULTS_KEPT + SECOND)
    assert {payload(market, order) for order in (waiting, ended)} == {(0, None)}
    assert results(market, waiting) == 1, "it never had any: it was cancelled"


def test_a_session_that_goes_on_for_months_keeps_nobody_elses_results(market: Market) -> None:
    market.node("a", slots=4)
    market.executor()
    sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    [order] = ran(market)
    forget(market, RESULTS_KEPT + SECOND)
    assert payload(market, order) == (0, 0)


def test_a_dispute_that_is_resolved_while_its_order_is_passed_drops_its_results_all_the_same(market: Market) -> None:
    market.node("a", slots=4)
    [order] = ran(market)
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "all zeros")
    passing = market.app.uow()
    with ThreadPoolExecutor(1) as pool, passing:
        assert passing.forgetting.lock_mark() is not None
        [one] = passing.forgetting.remembered(OrderId(UUID(int=0)), 10)
        assert one.is_disputed
        resolved = pool.submit(disputes.reject, market.app.uow(), utc_now(), ADMIN, dispute.id, "they are not")
        until(lambda: waits(market), "the resolution waits for the mark")
        passing.forgetting.move_mark(order.id)
        passing.commit()
        resolved.result(PATIENCE_S)
    assert payload(market, order) == (0, 0)


def test_an_order_of_a_batch_that_is_being_disputed_is_waited_for(market: Market, batching: Batching) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(2))
    batching.run(name, market.executor())
    batching.work()
    with market.app.uow() as uow:
        [order] = uow.orders.newest(market.buyer.account_id, None, 5, None)
    disputing = market.app.uow()
    with ThreadPoolExecutor(1) as pool, disputing:
        disputing.orders.find(order.id, for_update=True)
        forgotten = pool.submit(forgetting.forget_batches, market.app.uow(), utc_now() + RESULTS_KEPT)
        until(lambda: waits(market), "the order is waited for")
        disputing.disputes.add(
            Dispute(DisputeId(new_id()), order.account_id, order.id, "zeros", DisputeState.OPEN, 0, utc_now())
        )
        disputing.commit()
        assert forgotten.result(PATIENCE_S)
    assert results(market, order) == 2


def test_forgetting_takes_as_many_statements_for_many_orders_as_for_few(market: Market) -> None:
    market.node("a", slots=40)
    counts = []
    for size in (2, 40):
        placed = ran(market, size)
        with Statements(market.app.engine) as statements:
            forgetting.forget_results(market.app.uow(), utc_now() + RESULTS_KEPT + SECOND)
        counts.append(statements.count)
        assert {payload(market, order) for order in placed} == {(0, 0)}
    assert counts[0] == counts[1] <= 5


def test_what_a_batch_asked_and_got_is_in_its_files_alone_a_day_after_its_end(
    market: Market, batching: Batching
) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(5))
    before = batching.run(name, market.executor())
    batching.work()
    assert before.batch.ended_at is not None
    with market.app.uow() as uow:
        [order] = uow.orders.newest(market.buyer.account_id, None, 5, None)
    forget(market, BATCH_RESULTS_KEPT, since=before.batch.ended_at)
    assert results(market, order) == 5
    forget(market, BATCH_RESULTS_KEPT + SECOND, since=before.batch.ended_at)
    assert payload(market, order) == (0, 0)
    with market.app.engine.begin() as connection:
        assert connection.execute(text("SELECT lines FROM batch_chunks")).scalar_one() == []
    with pytest.raises(NotFound) as refused:
        results(market, order)
    assert "in its output file" in str(refused.value.accepted)
    after = batching.show(name)
    assert (after.charged_nano, after.batch.completed) == (before.charged_nano, 5)
    assert len(batching.content(after.batch.output_file_id)) == 5
    assert not forgetting.forget_batches(market.app.uow(), utc_now() + RESULTS_KEPT)


def test_a_batch_that_is_not_tidy_yet_keeps_what_its_files_are_made_of(market: Market, batching: Batching) -> None:
    name = batching.submit(lines(2))
    batching.work(rounds=3)
    assert not forgetting.forget_batches(market.app.uow(), utc_now() + RESULTS_KEPT)
    batching.cancel(name)
    batching.run(name, market.executor())
    assert not forgetting.forget_batches(market.app.uow(), utc_now() + RESULTS_KEPT)
    batching.work()
    assert forgetting.forget_batches(market.app.uow(), utc_now() + RESULTS_KEPT)


def test_an_order_of_a_batch_that_is_disputed_keeps_its_results(market: Market, batching: Batching) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(2))
    batching.run(name, market.executor())
    batching.work()
    with market.app.uow() as uow:
        [order] = uow.orders.newest(market.buyer.account_id, None, 5, None)
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "all zeros")
    forget(market, 2 * RESULTS_KEPT)
    assert results(market, order) == 2
    disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "they are not")
    assert payload(market, order) == (0, 0)


def test_an_idempotency_key_is_remembered_for_a_while(market: Market) -> None:
    market.node("a", slots=4)
    key, began = Idempotency("once", b"digest"), utc_now()

    def place() -> object:
        [order] = orders.place_orders(market.app.uow(), utc_now(), market.buyer, [market.request()], key).results
        assert isinstance(order, Order)
        return order.id

    first = place()
    forget(market, KEYS_KEPT - timedelta(minutes=1), since=began)
    assert place() == first
    forget(market, KEYS_KEPT + timedelta(minutes=1))
    assert place() != first


def test_what_webhooks_were_told_is_kept_for_a_while_and_what_is_owed_longer(
    market: Market, batching: Batching
) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(1), swarmex_webhook="https://example.com/hook")
    batch = batching.run(name, market.executor()).batch
    forget(market, 2 * DELIVERIES_KEPT)
    news = batch_news(market.app.uow(), batch)
    assert news is not None
    assert news.state is NewsState.OWED
    done = utc_now()
    with market.app.uow() as uow:
        [owed] = uow.account_deliveries.of_subject(f"batch {batch.id}")
        uow.account_deliveries.write([replace(owed, done_at=done, status=200)])
        uow.commit()
    forget(market, DELIVERIES_KEPT, since=done)
    news = batch_news(market.app.uow(), batch)
    assert news is not None
    assert news.state is NewsState.TOLD
    forget(market, DELIVERIES_KEPT + SECOND, since=done)
    assert batch_news(market.app.uow(), batch) is None, "and nothing is awaited"
