"""Models from the object store to an answer: the engine, the cache on disk, and what is kept in memory."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket
from typing import Any

import fsspec
import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from agents import model_cache
from agents.engines.base import InferenceFailed, Loaded, ModelUnusable
from agents.engines.onnx import OnnxEngine
from agents.inference import models as loaded_models
from agents.inference.execution import execute
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache, ModelNotFetched
from backend.domain.errors import ChecksumMismatch
from backend.domain.tensors import parse_request
from backend.domain.work import ModelRef
from backend.services.onnx_models import answers
from backend.storage.objects import ObjectStore
from tests.integration.api.every_datatype import TEXTS, values, write_every
from tests.onnx_files import DOUBLING, reference_to, request, write_doubling, write_slow
from tests.waiting import PATIENCE_S

INPUTS = parse_request(request((1.0, 2.0)), DOUBLING)

FETCH = """
import sys
from pathlib import Path
from agents.model_cache import ModelCache
from backend.domain.tensors import Signature
from backend.domain.work import ModelRef
from backend.storage.objects import ObjectStore
folder, url, checksum = sys.argv[1:]
model = ModelRef(None, "m", 1, checksum, "models/m.onnx", Signature((), ()))
print(ModelCache(Path(folder), ObjectStore(url)).path_of(model))
"""


class Store:
    """An object store that counts what is fetched from it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.url = folder.as_uri()
        self.objects = ObjectStore(self.url)
        self.fetched = 0

    def put(self, path: Path, uri: str = "models/m.onnx", name: str = "m", version: int = 1) -> ModelRef:
        self.objects.put_file(path, uri)
        return reference_to(path, uri, name, version)

    def get_file(self, key: str, path: Path) -> None:
        self.fetched += 1
        self.objects.get_file(key, path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects")


@pytest.fixture
def model(tmp_path: Path, store: Store) -> ModelRef:
    return store.put(write_doubling(tmp_path / "doubling.onnx"))


@pytest.fixture
def cache(tmp_path: Path, store: Store) -> ModelCache:
    return ModelCache(tmp_path / "cache", store)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_model_answers_with_its_outputs_by_name(tmp_path: Path) -> None:
    model = OnnxEngine().load(write_doubling(tmp_path / "m.onnx"))
    outputs = model.run({"x": np.array([[1.0, 2.0]], np.float32)})
    assert {name: array.tolist() for name, array in outputs.items()} == {"y": [[2.0, 4.0]]}


def test_a_model_works_on_after_its_file_is_gone(tmp_path: Path) -> None:
    path = write_doubling(tmp_path / "m.onnx")
    model = OnnxEngine().load(path)
    path.unlink()
    assert model.run({"x": np.zeros((1, 2), np.float32)})["y"].shape == (1, 2)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x01" * 100])
def test_a_file_that_is_no_model_cannot_be_loaded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelUnusable):
        OnnxEngine().load(path)


def test_inputs_that_the_model_refuses_are_a_failure_of_that_inference_only(tmp_path: Path) -> None:
    model = OnnxEngine().load(write_doubling(tmp_path / "m.onnx"))
    with pytest.raises(InferenceFailed):
        model.run({"x": np.zeros((1, 3), np.float32)})
    with pytest.raises(InferenceFailed):
        model.run({"z": np.zeros((1, 2), np.float32)})
    assert model.run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2.0, 2.0]]


def test_threads_share_a_loaded_model(tmp_path: Path) -> None:
    model = OnnxEngine().load(write_doubling(tmp_path / "m.onnx"))

    def double(value: int) -> float:
        return float(model.run({"x": np.full((1, 2), value, np.float32)})["y"][0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(double, range(200))) == [2.0 * value for value in range(200)]


class Watched:
    """A loaded model, and how long its runs took."""

    def __init__(self, model: Loaded) -> None:
        self._model = model
        self.busy_ns = 0

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        started_ns = time.monotonic_ns()
        try:
            return self._model.run(inputs)
        finally:
            self.busy_ns += time.monotonic_ns() - started_ns


def test_texts_reach_a_model_as_texts_here_and_where_answers_are_checked(tmp_path: Path) -> None:
    file = write_every(tmp_path / "texts.onnx", ["BYTES"])
    feed = {"in_BYTES": values("BYTES")}
    assert OnnxEngine().load(file).run(feed)["out_BYTES"].ravel().tolist() == TEXTS
    assert answers(file, [feed])[0]["out_BYTES"].ravel().tolist() == TEXTS


def test_billed_time_is_the_engines_and_at_least_one_microsecond(tmp_path: Path) -> None:
    engine = OnnxEngine()
    quick = execute(engine.load(write_doubling(tmp_path / "q.onnx")), DOUBLING, INPUTS)
    assert quick.busy_us >= 1
    slow = Watched(engine.load(write_slow(tmp_path / "s.onnx", 60)))
    started_ns = time.monotonic_ns()
    done = execute(slow, DOUBLING, INPUTS)
    assert slow.busy_ns <= done.busy_us * 1_000 + 1_000 <= time.monotonic_ns() - started_ns + 1_000
    assert done.outputs["y"].tolist() == [[2.0, 4.0]]


def test_a_model_is_fetched_once_and_found_from_then_on(
    tmp_path: Path, cache: ModelCache, store: Store, model: ModelRef
) -> None:
    first = cache.path_of(model)
    assert hashlib.sha256(first.read_bytes()).hexdigest() == model.checksum
    assert cache.path_of(model) == first
    assert ModelCache(tmp_path / "cache", store).path_of(model) == first
    assert store.fetched == 1


def test_a_file_with_another_checksum_is_refused_and_not_kept(tmp_path: Path, cache: ModelCache, store: Store) -> None:
    genuine = write_doubling(tmp_path / "genuine.onnx")
    forged = write_doubling(tmp_path / "forged.onnx", factor=3.0)
    store.objects.put_file(forged, "models/m.onnx")
    with pytest.raises(ChecksumMismatch) as refusal:
        cache.path_of(reference_to(genuine))
    assert refusal.value.expected == hashlib.sha256(genuine.read_bytes()).hexdigest()
    assert refusal.value.found == hashlib.sha256(forged.read_bytes()).hexdigest()
    assert names(tmp_path / "cache") == set()


def test_a_cached_file_that_was_changed_is_fetched_again(
    tmp_path: Path, cache: ModelCache, store: Store, model: ModelRef
) -> None:
    path = cache.path_of(model)
    path.write_bytes(write_doubling(tmp_path / "forged.onnx", factor=3.0).read_bytes())
    assert hashlib.sha256(cache.path_of(model).read_bytes()).hexdigest() == model.checksum
    assert store.fetched == 2


def test_a_file_that_another_user_fetched_into_the_folder_is_used_as_it_is(
    cache: ModelCache, store: Store, model: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yours(path: Path) -> None:  # what the kernel says to whoever is not the file's owner
        raise PermissionError(path)

    path = cache.path_of(model)
    monkeypatch.setattr("agents.model_cache.os.utime", not_yours)
    assert cache.path_of(model) == path
    assert store.fetched == 1


def test_a_model_without_a_file_is_unusable(tmp_path: Path, cache: ModelCache) -> None:
    with pytest.raises(ModelUnusable, match=r"no file models/m\.onnx"):
        cache.path_of(reference_to(write_doubling(tmp_path / "m.onnx")))
    assert names(tmp_path / "cache") == set()


def test_while_a_model_cannot_be_fetched_nothing_is_left_and_the_log_alone_says_why(
    tmp_path: Path, model: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        for name, value in (("ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}"), ("REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.setenv(f"AWS_{name}", "testing")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        cache = ModelCache(tmp_path / "away", ObjectStore("s3://bucket/below"))
        with capture_logs() as logs, pytest.raises(ModelNotFetched) as refusal:
            cache.path_of(model)
    assert "127.0.0.1" not in str(refusal.value)
    assert any("127.0.0.1" in line["error"] for line in logs)
    assert list((tmp_path / "away").iterdir()) == []


def test_a_file_above_the_limit_is_refused(cache: ModelCache, model: ModelRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "MODEL_BYTES_MAX", 10)
    with pytest.raises(ModelUnusable, match="bytes"):
        cache.path_of(model)


def test_the_least_recently_used_file_makes_room(
    tmp_path: Path, cache: ModelCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_doubling(tmp_path / f"{factor}.onnx", factor) for factor in (2.0, 3.0, 4.0)]
    first, second, third = [store.put(file, f"models/{file.name}") for file in files]
    monkeypatch.setattr(model_cache, "CACHE_BYTES_MAX", int(files[0].stat().st_size * 2.5))
    os.utime(cache.path_of(first), (1, 1))
    os.utime(cache.path_of(second), (2, 2))
    cache.path_of(first)  # used again, so the second is the oldest now
    cache.path_of(third)
    assert names(tmp_path / "cache") == {f"{first.checksum}.onnx", f"{third.checksum}.onnx"}


def test_remains_of_a_process_that_died_are_removed_but_not_those_of_one_at_work(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    old, fresh = folder / "old.partial", folder / "fresh.partial"
    for path in (old, fresh):
        path.touch()
    os.utime(old, (1, 1))
    ModelCache(folder, store)
    assert names(folder) == {"fresh.partial"}


def test_processes_that_share_a_folder_all_get_a_whole_file(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "large.onnx"
    path.write_bytes(os.urandom(20_000_000))
    model = store.put(path)
    command = [sys.executable, "-c", FETCH, str(tmp_path / "cache"), store.url, model.checksum]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=PATIENCE_S)[0].splitlines()[-1] for process in processes}
    assert printed == {str(tmp_path / "cache" / f"{model.checksum}.onnx")}
    assert names(tmp_path / "cache") == {f"{model.checksum}.onnx"}


def test_only_so_many_models_stay_in_memory(tmp_path: Path, cache: ModelCache, store: Store) -> None:
    files = [write_doubling(tmp_path / f"{factor}.onnx", factor) for factor in (2.0, 3.0, 4.0)]
    first, second, third = [store.put(file, f"models/{file.name}") for file in files]
    models = LoadedModels(cache, OnnxEngine(), loaded_max=2)
    kept = models.get(first)
    dropped = models.get(second)
    assert models.get(first) is kept
    models.get(third)
    assert models.get(first) is kept
    assert models.get(second) is not dropped


def test_threads_that_ask_at_once_load_a_model_once(cache: ModelCache, store: Store, model: ModelRef) -> None:
    models = LoadedModels(cache, OnnxEngine())
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: models.get(model), range(32)))
    assert all(one is loaded[0] for one in loaded)
    assert store.fetched == 1


def test_a_refused_model_is_not_fetched_for_every_request_but_is_tried_again_later(
    tmp_path: Path, cache: ModelCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reference_to(write_doubling(tmp_path / "m.onnx"))
    models = LoadedModels(cache, OnnxEngine())
    for _ in range(5):
        with pytest.raises(ModelUnusable):
            models.get(model)
    assert store.fetched == 1
    store.put(tmp_path / "m.onnx")
    later = time.monotonic() + loaded_models.REFUSAL_S + 1
    monkeypatch.setattr(loaded_models, "monotonic", lambda: later)
    assert models.get(model).run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2.0, 2.0]]
