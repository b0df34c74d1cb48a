"""Workers slower than their claim on a batch: another goes on with it, and nothing is left behind."""

from collections.abc import Callable
from datetime import timedelta
from types import ModuleType

import pytest

from backend.bootstrap import utc_now
from backend.domain.batches import BatchState
from backend.domain.files import file_name
from backend.services import batch_collecting, batch_ending, batch_run, files
from backend.services.batch_claims import CLAIM
from tests.integration.services.batching import Batching, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order", "small_chunks")
Interrupt = Callable[[], None]


def before_first(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, happens: Interrupt) -> None:
    """Let something happen in the middle of a step: before `name` is called for the first time."""
    real = getattr(module, name)

    def called(*arguments: object) -> object:
        monkeypatch.setattr(module, name, real)
        happens()
        return real(*arguments)

    monkeypatch.setattr(module, name, called)


def left(batching: Batching) -> list[str]:
    """Keys in the store, but for models."""
    return [key for key in dict(batching.objects.keys()) if not key.startswith("models/")]


def finalizing(batching: Batching, market: Market) -> str:
    """A batch of which all has run, and whose files are not written yet."""
    market.node("a", slots=4)
    name = batching.submit(lines(4))
    batching.run_until(name, market.executor(), lambda view: view.batch.state is BatchState.FINALIZING)
    return name


def test_results_that_were_deleted_meanwhile_are_not_stored_again(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = finalizing(batching, market)

    def end_and_delete() -> None:
        batching.work(rounds=2)  # as another worker, who also removes the parts
        batch = batching.show(name).batch
        assert batch.tidied_at is not None
        for file_id in (batch.output_file_id, batch.input_file_id):
            assert file_id is not None
            files.delete_file(market.app.uow(), utc_now(), file_name(file_id), market.buyer)
        files.sweep(market.app.uow(), utc_now(), batching.objects)
        assert left(batching) == []

    before_first(monkeypatch, batch_ending, "_fetch", end_and_delete)
    batching.work()
    assert left(batching) == []


def test_results_that_somebody_keeps_stay_as_they_are(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = finalizing(batching, market)
    before_first(monkeypatch, batch_ending, "_fetch", lambda: batching.work(rounds=2))
    batching.work()
    batch = batching.show(name).batch
    assert sorted(left(batching)) == sorted(f"files/{id}" for id in (batch.input_file_id, batch.output_file_id))
    assert [row["custom_id"] for row in batching.content(batch.output_file_id)] == [f"r-{n}" for n in range(4)]


def test_parts_that_come_after_the_end_are_removed(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(4))
    batching.work(rounds=3)
    for _ in range(6):
        executor.beat()
        market.run(executor)
    before_first(monkeypatch, batch_collecting, "write_parts", lambda: batching.work(rounds=6))
    batching.step(name)
    batch = batching.show(name).batch
    assert (batch.state, batch.completed) == (BatchState.COMPLETED, 4)
    assert [key for key in left(batching) if key.startswith("batches/")] == []


def test_whoever_joins_results_for_long_keeps_the_batch_meanwhile(
    batching: Batching, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, began = finalizing(batching, market), utc_now()
    passed_s, seen = 0.0, []
    monkeypatch.setattr("backend.services.batch_claims.time.monotonic", lambda: passed_s)
    real = batch_ending._fetch

    def slowly(*arguments: object) -> None:
        nonlocal passed_s
        seen.append(batching.show(name).batch.claimed_until - began - timedelta(seconds=passed_s))
        passed_s += CLAIM.total_seconds() - 1
        real(*arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(batch_ending, "_fetch", slowly)
    batching.due()
    batch_run.work(market.app.uow, began, batching.objects)
    assert batching.show(name).batch.state is BatchState.COMPLETED
    assert seen == [CLAIM] * 2
