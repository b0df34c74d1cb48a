"""Batches whose time is over: what was run is returned, the rest named, and a batch that lacks nothing is completed."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.batches import BatchState
from backend.domain.work import ItemResult
from tests.integration.services.batching import Batching, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


@pytest.mark.usefixtures("small_chunks")
def test_a_batch_that_expires_returns_what_was_done_and_names_the_rest(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(20), window="1h")
    done = batching.run_until(name, executor, lambda view: view.batch.completed >= 2)
    late = utc_now() + timedelta(hours=1, seconds=1)
    batching.work(late)
    assert batching.show(name).batch.state is BatchState.FINALIZING
    ended = batching.run(name, executor, late)
    assert ended.batch.state is BatchState.EXPIRED
    assert ended.batch.completed >= done.batch.completed
    assert ended.batch.completed + ended.batch.failed == 20
    assert {row["error"]["code"] for row in batching.content(ended.batch.error_file_id)} == {"batch_expired"}
    assert market.wallet().reserved_nano == 0


@pytest.mark.usefixtures("small_chunks")
def test_a_batch_of_which_everything_ran_in_time_is_completed_though_it_is_looked_at_late(
    batching: Batching, market: Market
) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(4), window="60s")
    batching.work(rounds=3)
    for _ in range(6):
        executor.beat()
        market.run(executor)
    assert batching.show(name).batch.completed == 0
    late = utc_now() + timedelta(seconds=61)
    batching.work(late)
    assert batching.show(name).batch.state is BatchState.FINALIZING
    ended = batching.run(name, executor, late).batch
    assert (ended.state, ended.completed, ended.failed) == (BatchState.COMPLETED, 4, 0)
    assert ended.error_file_id is None


def test_a_request_that_failed_by_itself_does_not_make_a_batch_expire(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(2), window="60s")
    batching.work(rounds=3)
    market.clear()
    bad, good = executor.claim(market.dispatched())
    executor.database.commit(executor.id, [ItemResult(bad.item_id, bad.fence, 5, b"no JSON")])
    executor.commit([good])
    market.settle()
    ended = batching.run(name, executor, utc_now() + timedelta(seconds=61)).batch
    assert (ended.state, ended.completed, ended.failed) == (BatchState.COMPLETED, 1, 1)


def test_no_order_of_a_batch_ends_before_its_batch(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    batching.submit(lines(2), window="60s")
    batching.work(rounds=3)
    with market.app.engine.begin() as connection:
        early = text("SELECT o.deadline_at >= b.expires_at FROM orders o, batches b")
        assert connection.execute(early).scalars().all() == [True]
