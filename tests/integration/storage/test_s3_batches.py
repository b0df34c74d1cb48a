"""A batch whose files are on S3 runs as one whose files are here."""

from pathlib import Path

import pytest

from backend.domain.batches import BatchState
from backend.services import batch_placing
from backend.storage.objects import ObjectStore
from tests.integration.services.batching import Batching, lines
from tests.integration.storage.test_s3_objects import endpoint, store
from tests.market import Market

__all__ = ["endpoint", "store"]  # fixtures


def test_a_batch_runs_with_its_files_and_parts_on_s3(
    store: ObjectStore,
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", 2)
    monkeypatch.setattr(batch_placing, "OPEN_ORDERS_MAX", 2)
    market.app.__dict__["objects"] = store
    market.node("a", slots=4)
    batching = Batching(market, tmp_path)
    ended = batching.run(batching.submit([*lines(5)]), market.executor())
    batching.work()
    assert (ended.batch.state, ended.batch.completed) == (BatchState.COMPLETED, 5)
    assert [row["custom_id"] for row in batching.content(ended.batch.output_file_id)] == [f"r-{n}" for n in range(5)]
    assert [key for key in dict(store.keys()) if key.startswith("batches/")] == []
