"""What a batch's results may fill: what might not fit is not run, costs nothing and says why; what ran is kept."""

from pathlib import Path

import pytest
from sqlalchemy import text

from backend.domain import batch_outputs
from backend.domain.batch_outputs import LINE_BYTES
from backend.domain.batches import BatchState
from backend.services import batch_placing
from tests.integration.services.batching import Batching, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")
PER_CHUNK = 2


@pytest.fixture
def batching(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batching:
    """A market with a node; orders carry two lines each, one order of a batch at a time."""
    monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", PER_CHUNK)
    market.node("a", slots=4)
    return Batching(market, tmp_path)


def expected(batching: Batching) -> int:
    """Bytes that one line of these tests is expected to give."""
    with batching.market.app.engine.begin() as connection:
        statement = text("SELECT max(output_bytes / jsonb_array_length(lines)) FROM batch_chunks")
        return int(connection.execute(statement).scalar_one())


def limit(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """Another limit for this test."""
    monkeypatch.setattr(batch_outputs, name, value)


def test_what_might_not_fit_is_not_run_not_charged_and_told_by_its_code(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_placing, "OPEN_ORDERS_MAX", 1)
    name = batching.submit(lines(10))
    executor = market.executor()
    batching.run_until(name, executor, lambda view: view.batch.completed >= 2 * PER_CHUNK)
    limit(monkeypatch, "BATCH_OUTPUT_BYTES_MAX", 4 * LINE_BYTES)
    view = batching.run(name, executor)
    counts = (view.batch.completed, view.batch.failed)
    assert view.batch.state is BatchState.COMPLETED
    assert 2 * PER_CHUNK <= counts[0] <= 3 * PER_CHUNK, "what was under way has run"
    assert sum(counts) == 10
    told = batching.content(view.batch.error_file_id)
    assert {row["error"]["code"] for row in told} == {"batch_output_full"}
    kept = batching.content(view.batch.output_file_id)
    assert sorted(row["custom_id"] for row in told + kept) == sorted(f"r-{n}" for n in range(10))
    with market.app.engine.begin() as connection:
        statement = "SELECT count(*), count(*) FILTER (WHERE state = 'settled'), sum(charged_nano) FROM work_items"
        items, settled, charged = connection.execute(text(statement)).one()
        sizes = connection.execute(
            text("SELECT sum(size_bytes) FROM files WHERE purpose = 'batch_output'")
        ).scalar_one()
    assert (items, settled, charged) == (counts[0], counts[0], view.charged_nano)
    assert sizes <= batch_outputs.BATCH_OUTPUT_BYTES_MAX


def test_room_that_orders_do_not_use_is_given_to_the_next(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = batching.submit(lines(6))
    batching.work()
    most = 6 * LINE_BYTES + PER_CHUNK * expected(batching) + 1
    limit(monkeypatch, "BATCH_OUTPUT_BYTES_MAX", most)
    batching.work()
    with market.app.engine.begin() as connection:
        states = connection.execute(text("SELECT state FROM batch_chunks ORDER BY number")).scalars().all()
    assert list(states) == ["placed", "waiting", "waiting"], "one is promised all the room, and the others wait for it"
    view = batching.run(name, market.executor())
    assert (view.batch.completed, view.batch.failed) == (6, 0)


def test_an_account_that_keeps_too_much_gets_no_more_results(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = batching.submit(lines(4))
    batching.work()
    limit(monkeypatch, "ACCOUNT_BYTES_MAX", 4 * LINE_BYTES)
    view = batching.run(name, market.executor())
    assert (view.batch.state, view.batch.completed, view.batch.failed) == (BatchState.COMPLETED, 0, 4)
    assert {row["error"]["code"] for row in batching.content(view.batch.error_file_id)} == {"too_many_bytes"}
    assert view.charged_nano == 0


def test_uploads_are_asked_for_room_that_results_under_way_were_promised(batching: Batching, market: Market) -> None:
    name = batching.submit(lines(4))
    batching.work(rounds=2)
    with market.app.uow() as uow:
        before = uow.files.kept(market.buyer.account_id)
    assert before.open_bytes == 4 * expected(batching)
    view = batching.run(name, market.executor())
    with market.app.uow() as uow:
        after = uow.files.kept(market.buyer.account_id)
    assert after.open_bytes == 0
    assert view.batch.output_file_id is not None
    assert after.size_bytes == before.size_bytes - before.open_bytes + len(
        b"".join(batching.objects.chunks(f"files/{view.batch.output_file_id}"))
    )
