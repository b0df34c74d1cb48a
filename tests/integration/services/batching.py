"""Batches for tests: files of lines, and a world that runs them step by step."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.batches import FINAL
from backend.domain.files import file_name
from backend.services import batch_run, batches, files
from backend.services.batches import BatchView, BatchWish
from backend.storage.objects import ObjectStore
from tests.market import Executor, Market
from tests.onnx_files import request as tensors

ROUNDS_MAX = 400
URL = "/v2/models/doubling/infer"


def line(custom_id: str, body: Mapping[str, Any] | None = None, url: str = URL, **changes: object) -> str:
    """One line of a batch file."""
    said = {"custom_id": custom_id, "method": "POST", "url": url, "body": body or tensors((1.0, 2.0))}
    return json.dumps(said | changes)


def lines(count: int) -> list[str]:
    """That many lines that can all be run."""
    return [line(f"r-{n}", tensors((float(n), 2.0))) for n in range(count)]


@dataclass
class Batching:
    """The market with a folder for files to upload, and the steps of a batch in the test's own hands."""

    market: Market
    folder: Path

    @property
    def objects(self) -> ObjectStore:
        return self.market.app.objects

    def file(self, content: Iterable[str]) -> str:
        """The name of an uploaded file with these lines."""
        path = self.folder / "batch.jsonl"
        path.write_text("\n".join(content) + "\n")
        uow = self.market.app.uow()
        return file_name(files.upload(uow, utc_now(), self.objects, self.market.buyer, path, "b.jsonl", "batch").id)

    def submit(self, content: Iterable[str], window: str = "24h", **metadata: str) -> str:
        """The name of a batch of these lines."""
        wish = BatchWish(self.file(content), "/v2/models", window, metadata)
        made = batches.create_batch(self.market.app.uow(), utc_now(), self.market.buyer, wish)
        return batches.batch_name(made.batch.id)

    def show(self, name: str) -> BatchView:
        """The batch as it is now."""
        return batches.show_batch(self.market.app.uow(), name, self.market.buyer)

    def cancel(self, name: str) -> BatchView:
        """Cancel it as its owner."""
        return batches.cancel_batch(self.market.app.uow(), utc_now(), name, self.market.buyer)

    def work(self, now: datetime | None = None, rounds: int = 1) -> None:
        """Steps of batches, as if each came when it is due."""
        for _ in range(rounds):
            self.due()
            batch_run.work(self.market.app.uow, now or utc_now(), self.objects)

    def step(self, name: str) -> None:
        """One step with this batch."""
        batch_run.step(self.market.app.uow, utc_now(), self.objects, self.show(name).batch)

    def due(self) -> None:
        """Nobody has any batch in hand, and what waits for another try may have it."""
        with self.market.app.engine.begin() as connection:
            connection.execute(text("UPDATE batches SET claimed_until = created_at"))
            connection.execute(text("UPDATE batch_chunks SET retry_at = NULL"))

    def run(self, name: str, executor: Executor, now: datetime | None = None) -> BatchView:
        """Steps, clearings and work until the batch has ended."""
        return self.run_until(name, executor, lambda view: view.batch.state in FINAL, now)

    def run_until(
        self, name: str, executor: Executor, reached: Callable[[BatchView], bool], now: datetime | None = None
    ) -> BatchView:
        """The same until the batch is as wanted."""
        for _ in range(ROUNDS_MAX):
            if reached(view := self.show(name)):
                return view
            self.work(now)
            executor.beat()
            self.market.run(executor)
        raise AssertionError(f"{self.show(name)} after {ROUNDS_MAX} rounds")

    def content(self, file_id: object) -> list[dict[str, Any]]:
        """The lines of a result file."""
        assert file_id is not None
        name = file_name(file_id)  # type: ignore[arg-type]  # a file's id
        _, chunks = files.read_file(self.market.app.uow(), utc_now(), self.objects, name, self.market.buyer)
        return [json.loads(row) for row in b"".join(chunks).splitlines()]
