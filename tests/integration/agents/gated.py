"""A batcher on a node's own threads, over one model whose runs wait at a gate."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import numpy as np

from agents.engines.base import InferenceFailed, Loaded
from agents.engines.onnx import OnnxEngine
from agents.inference.admission import Admission
from agents.inference.batcher import Batcher
from agents.inference.execution import Execution
from agents.inference.held_model import BatchSize
from agents.inference.models import LoadedModels
from agents.inference.run_queue import SPARE_RUNS, RunQueue
from agents.model_cache import ModelCache
from backend.domain.tensors import Array
from backend.domain.tiers import TierName
from backend.domain.work import ModelRef
from backend.storage.objects import ObjectStore
from tests.onnx_files import reference_to, write_doubling
from tests.waiting import PATIENCE_S


class GatedEngine:
    """ONNX models that note the rows of each run, wait at a gate, and break on what is below zero."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)

    def load(self, path: Path) -> Loaded:
        return _Gated(self, OnnxEngine().load(path))


class _Gated:
    def __init__(self, engine: GatedEngine, model: Loaded) -> None:
        self._engine = engine
        self._model = model

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._engine.rows.append(len(inputs["x"]))
        self._engine.begun.release()
        assert self._engine.open.wait(PATIENCE_S)
        if (inputs["x"] < 0).any():
            raise InferenceFailed("below zero")
        return self._model.run(inputs)


class Steady(BatchSize):
    """So many rows a run, however long a gate made one wait."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def ran(self, rows: int, busy_us: int) -> None:
        """Learn nothing."""


class Stand:
    """A batcher over one model, loaded and warmed up."""

    def __init__(self, folder: Path, engine: GatedEngine, in_flight_max: int, runs: RunQueue) -> None:
        store = ObjectStore((folder / "objects").as_uri())
        path = write_doubling(folder / "m.onnx")
        store.put_file(path, "models/m.onnx")
        self.ref = reference_to(path)
        self.engine = engine
        self.models = LoadedModels(ModelCache(folder / "cache", store), engine)
        self.models.load(self.ref)
        held = self.models.peek(self.ref.checksum)
        assert held is not None
        held.batch = Steady(8)
        engine.rows.clear()
        engine.begun = threading.Semaphore(0)
        self.admission = Admission(in_flight_max, runs)
        self.batcher = Batcher(self.models, self.admission)

    def ask(
        self, *values: float, ref: ModelRef | None = None, tier: TierName = TierName.MEDIUM
    ) -> "asyncio.Task[Execution]":
        inputs = {"x": np.array([[value, value] for value in values], np.float32).reshape(-1, 2)}
        return asyncio.ensure_future(self.batcher.run(ref or self.ref, inputs, tier))

    async def one_runs(self, tier: TierName = TierName.MEDIUM) -> "asyncio.Task[Execution]":
        """Shut the gate with one request before it."""
        self.engine.open.clear()
        first = self.ask(1, tier=tier)
        await asyncio.to_thread(self.engine.begun.acquire)
        return first


def on(
    folder: Path,
    steps: Callable[[Stand], Awaitable[None]],
    in_flight_max: int = 64,
    threads: int = 2,
    spare: int = SPARE_RUNS,
) -> None:
    """Run `steps` on a stand, in a loop of its own."""
    engine = GatedEngine()

    async def main() -> None:
        stand = Stand(folder, engine, in_flight_max, RunQueue(threads, spare))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await steps(stand)
        finally:
            engine.open.set()
            stand.admission.close()

    asyncio.run(main())


def values_of(done: Execution) -> list[float]:
    values: list[float] = done.outputs["y"][:, 0].tolist()
    return values
