"""Models in memory: limits in bytes, who makes room for whom, and what is told of them."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agents.engine_metrics import EngineMetrics
from agents.engines.base import Loaded, ModelUnusable
from agents.engines.onnx import OnnxEngine
from agents.inference import models as in_memory
from agents.inference.batcher import BatchCounts
from agents.inference.models import MEMORY_FACTOR, MODEL_OVERHEAD_BYTES, LoadedModels, NoRoom
from agents.memory import MODELS_SHARE, default_model_bytes
from agents.model_cache import ModelCache
from backend.bootstrap import settings
from backend.domain.tensors import Array
from backend.domain.work import ModelRef
from backend.storage.objects import ObjectStore
from tests.onnx_files import reference_to, write_doubling
from tests.waiting import FOREVER_S, PATIENCE_S, until

LONG = 7.0  # no first run has it


class Gate:
    """ONNX models whose runs on LONG wait at a gate, once it is shut."""

    def __init__(self) -> None:
        self.runs = 0
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)

    def load(self, path: Path) -> Loaded:
        return _Gated(self, OnnxEngine().load(path))


class _Gated:
    def __init__(self, gate: Gate, model: Loaded) -> None:
        self._gate, self._model = gate, model

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._gate.runs += 1
        if inputs["x"][0, 0] == LONG and not self._gate.open.is_set():
            self._gate.begun.release()
            assert self._gate.open.wait(PATIENCE_S)
        return self._model.run(inputs)


class Shelf:
    """Three models of one size, and memory for so many."""

    def __init__(self, folder: Path, room_for: int) -> None:
        self.gate = Gate()
        objects = ObjectStore((folder / "objects").as_uri())
        self.refs: list[ModelRef] = []
        for factor in (2.0, 3.0, 4.0):
            path = write_doubling(folder / f"{factor}.onnx", factor)
            objects.put_file(path, f"models/{path.name}")
            self.refs.append(reference_to(path, f"models/{path.name}", f"times-{factor:.0f}"))
        self.size = path.stat().st_size * MEMORY_FACTOR + MODEL_OVERHEAD_BYTES
        self.models = LoadedModels(ModelCache(folder / "cache", objects), self.gate, bytes_max=self.size * room_for)

    def names(self) -> list[str]:
        """What is in memory, the least recently used first."""
        return [model.ref.name for model in self.models.loaded()]

    @contextmanager
    def in_use(self, ref: ModelRef) -> Iterator[None]:
        """The block happens while `ref` runs."""
        held = self.models.get(ref)
        self.gate.open.clear()
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(held.run, {"x": np.full((1, 2), LONG, np.float32)})
            assert self.gate.begun.acquire(timeout=PATIENCE_S)
            try:
                yield
            finally:
                self.gate.open.set()
            assert running.result(PATIENCE_S)["y"].shape == (1, 2)


def test_the_least_recently_used_model_makes_room_in_bytes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=2)
    first, second, third = shelf.refs
    for ref in (first, second, first, third):
        shelf.models.get(ref)
    assert shelf.names() == ["times-2", "times-4"]
    assert sum(model.size_bytes for model in shelf.models.loaded()) <= shelf.models.bytes_max


def test_a_model_in_use_is_not_thrown_out_although_it_was_used_longest_ago(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=2)
    first, second, third = shelf.refs
    with shelf.in_use(first):
        shelf.models.get(second)
        shelf.models.get(third)
    assert shelf.names() == ["times-2", "times-4"]


def test_a_model_waits_for_room_until_another_is_not_in_use_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "ROOM_S", FOREVER_S)
    shelf = Shelf(tmp_path, room_for=1)
    first, second, _ = shelf.refs
    with ThreadPoolExecutor(1) as thread:
        with shelf.in_use(first):
            loading = thread.submit(shelf.models.get, second)
            until(lambda: shelf.models.cache.file_of(second.checksum), "its file is there")
            assert shelf.names() == ["times-2"]
        loading.result(PATIENCE_S)
    assert shelf.names() == ["times-3"]


def test_without_room_in_time_a_model_is_refused_for_now_but_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "ROOM_S", 0.0)
    shelf = Shelf(tmp_path, room_for=1)
    first, second, _ = shelf.refs
    with shelf.in_use(first), pytest.raises(NoRoom):
        shelf.models.get(second)
    shelf.models.get(second)
    assert shelf.names() == ["times-3"]


def test_a_model_larger_than_the_memory_is_refused_and_throws_nobody_out(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=1)
    shelf.models.get(shelf.refs[0])
    shelf.models.bytes_max -= 1
    with pytest.raises(ModelUnusable, match="memory"):
        shelf.models.get(shelf.refs[1])
    assert shelf.names() == ["times-2"]


def test_a_model_is_loaded_and_unloaded_when_asked_to(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=3)
    first = shelf.refs[0]
    shelf.models.load(first)
    assert shelf.names() == ["times-2"]
    assert shelf.models.unload(first.checksum)
    assert shelf.names() == []
    assert not shelf.models.unload(first.checksum)
    assert shelf.models.get(first).run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2.0, 2.0]]


def test_a_model_in_use_is_unloaded_after_its_last_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path, room_for=3)
    first = shelf.refs[0]
    with shelf.in_use(first):
        monkeypatch.setattr(in_memory, "ROOM_S", 0.0)
        with pytest.raises(NoRoom, match="in use"):
            shelf.models.unload(first.checksum)
        assert shelf.models.loaded()[0].in_use
    assert shelf.models.unload(first.checksum)


def test_a_refused_model_is_tried_at_once_when_it_is_to_be_loaded(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=3)
    ref = shelf.refs[0]
    stored = tmp_path / "objects" / ref.uri
    content = stored.read_bytes()
    stored.unlink()
    with pytest.raises(ModelUnusable):
        shelf.models.get(ref)
    stored.write_bytes(content)
    with pytest.raises(ModelUnusable):
        shelf.models.get(ref)
    shelf.models.load(ref)
    assert shelf.names() == ["times-2"]


def test_a_model_has_run_and_is_measured_before_its_first_request(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=3)
    held = shelf.models.get(shelf.refs[0])
    assert shelf.gate.runs > 1
    assert held.joins
    [told] = shelf.models.loaded()
    assert told.profile is not None
    assert told.profile.us_per_call >= 1


def test_prometheus_can_read_what_happened_to_models(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room_for=2)
    for ref in (*shelf.refs, shelf.refs[2]):
        shelf.models.get(ref)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineMetrics(shelf.models, BatchCounts(runs=2, requests=5, rows=9)))
    text = generate_latest(registry).decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["swarmex_model_events_total", "loads"] == 3
    assert samples["swarmex_model_events_total", "evictions"] == 1
    assert samples["swarmex_model_events_total", "hits"] == 1
    assert samples["swarmex_model_files_total", "store"] == 3
    assert samples["swarmex_model_files_total", "peer"] == 0
    assert samples["swarmex_models_loaded",] == 2
    assert samples["swarmex_model_memory_bytes",] == 2 * shelf.size
    assert samples["swarmex_batch_requests_total",] == 5
    assert samples["swarmex_model_call_seconds", "times-4", "1"] > 0


def test_unless_told_otherwise_models_may_take_half_of_the_machine_or_of_the_container(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    assert default_model_bytes(limit) == 1_000_000 * MODELS_SHARE
    limit.write_text("max\n")
    assert default_model_bytes(limit) == default_model_bytes(tmp_path / "none") > 1_000_000


def test_an_operator_says_in_megabytes_what_models_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().model_bytes is None
    monkeypatch.setenv("SWARMEX_MODEL_MEMORY_MB", "7")
    monkeypatch.setenv("SWARMEX_REMOTE_BACKENDS", '{"gpu:8000": "secret"}')
    chosen = settings()
    assert chosen.model_bytes == 7 << 20
    assert chosen.remote_backends == {"gpu:8000": "secret"}
    assert "secret" not in repr(chosen)
