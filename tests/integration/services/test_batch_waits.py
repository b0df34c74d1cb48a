"""What a batch waits for is told while it waits, and in its error file if that never came."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.batches import BatchState
from backend.services.batch_progress import waits_for
from backend.storage.batch_chunks import Waiting
from tests.integration.services.batching import Batching, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order", "small_chunks")


def why(batching: Batching, *names: str) -> list[Waiting | None]:
    """What each of these batches waits for."""
    batches = [batching.show(name).batch for name in names]
    told = waits_for(batching.market.app.uow(), batches)
    return [told.get(batch.id) for batch in batches]


def test_a_batch_for_a_region_without_machines_says_so_until_it_expires(batching: Batching, market: Market) -> None:
    market.node("a", slots=4, region="north")
    executor, name = market.executor(), batching.submit(lines(5), "60s", swarmex_region="nroth")
    batching.work()
    assert why(batching, name) == [None]
    batching.work(rounds=3)
    [waits] = why(batching, name)
    assert waits is not None
    assert waits.code == "no_capacity"
    assert waits.message is not None
    assert waits.message.endswith("is registered in region nroth (accepted: north)")
    ended = batching.run(name, executor, utc_now() + timedelta(seconds=61)).batch
    assert ended.state is BatchState.EXPIRED
    errors = [row["error"] for row in batching.content(ended.error_file_id)]
    assert {error["code"] for error in errors} == {"batch_expired"}
    assert all(error["message"].endswith(waits.message) for error in errors)
    assert why(batching, name) == [None]


def test_what_is_placed_after_a_wait_forgets_why_it_waited(batching: Batching, market: Market) -> None:
    name = batching.submit(lines(2))
    batching.work(rounds=3)
    [waits] = why(batching, name)
    assert waits is not None
    market.node("a", slots=4)
    batching.work(rounds=2)
    batching.cancel(name)
    ended = batching.run(name, market.executor()).batch
    errors = [row["error"] for row in batching.content(ended.error_file_id)]
    assert {(error["code"], error["message"]) for error in errors} == {
        ("batch_cancelled", "the batch was cancelled before this request was run")
    }


def test_each_batch_has_its_own_reason_and_those_that_run_have_none(batching: Batching, market: Market) -> None:
    market.node("a", slots=1)
    executor = market.executor()
    runs, lost, dear = (
        batching.submit(lines(2)),
        batching.submit(lines(2), swarmex_region="nowhere"),
        batching.submit(lines(2), swarmex_limit="0.0005"),
    )
    for name in (runs, lost, dear) * 3:
        batching.step(name)
    executor.beat()
    market.clear()
    first, second, third = why(batching, runs, lost, dear)
    assert first is None
    assert second is not None
    assert second.code == "no_capacity"
    assert third is not None
    assert (third.message, third.code != "no_capacity") == (None, True)
