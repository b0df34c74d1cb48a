"""Files of weights are mapped, bounded, and written as anybody can read them."""

import hashlib
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from backend.domain.federated.faults import Fault
from backend.domain.federated.layout import DType, Layout, TensorPlace
from backend.services import weights_files
from backend.services.weights_files import open_weights, write_arrays, write_weights
from tests.unit.domain.federated.files import file_of
from tests.unit.domain.refusals import refusal


def test_a_file_of_weights_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(file_of({"a": np.ones(5, np.float32)}))
    weights = open_weights(path)
    owner: object = weights.flat()
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, mmap.mmap)
    path.unlink()
    assert weights.flat().tolist() == [1.0] * 5


def test_an_empty_file_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "w").touch()
    assert refusal(lambda: open_weights(tmp_path / "w")).code == Fault.TRUNCATED


def test_a_file_above_the_limit_is_not_even_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of({"a": np.ones(500, np.float32)})
    monkeypatch.setattr(weights_files, "UPDATE_BYTES_MAX", len(data) - 1)
    (tmp_path / "w").write_bytes(data)
    assert refusal(lambda: open_weights(tmp_path / "w")).code == Fault.TOO_LARGE


def test_weights_that_were_written_are_read_as_they_were_with_the_sum_that_was_told(tmp_path: Path) -> None:
    layout = Layout((TensorPlace("a", DType.F16, (2, 3)), TensorPlace("b", DType.F32, ())))
    path = tmp_path / "w"
    flat = np.array([0.1, 1, 2, 3, 4, 5, 6], np.float32)
    assert write_weights(path, layout, flat) == hashlib.sha256(path.read_bytes()).hexdigest()
    again = open_weights(path)
    assert again.flat().tolist() == flat.tolist()
    assert [(one.name, one.dtype, one.shape) for one in again.layout.tensors] == [
        ("a", DType.F32, (2, 3)),
        ("b", DType.F32, ()),
    ]


def test_arrays_that_were_written_are_read_as_they_were(tmp_path: Path) -> None:
    arrays = {"second": np.arange(3, dtype=np.float32), "first": np.zeros((2, 2), np.float32)}
    digest = write_arrays(tmp_path / "s", arrays)
    again = open_weights(tmp_path / "s").arrays()
    assert {name: array.tolist() for name, array in again.items()} == {
        "first": [[0, 0], [0, 0]],
        "second": [0, 1, 2],
    }
    assert write_arrays(tmp_path / "t", dict(reversed(arrays.items()))) == digest


def test_the_format_is_that_of_the_safetensors_library_either_way(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array([0.5, -2.0], np.float16),
        "c": np.array(7.0, np.float32),
        "d": np.zeros((0, 3), np.float32),
    }
    save_file(arrays, tmp_path / "theirs")
    theirs = open_weights(tmp_path / "theirs")
    assert {name: array.tolist() for name, array in theirs.arrays().items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    write_weights(tmp_path / "ours", theirs.layout, theirs.flat())
    ours = load_file(tmp_path / "ours")
    assert {name: (array.dtype.name, array.shape, array.tolist()) for name, array in ours.items()} == {
        name: ("float32", array.shape, array.tolist()) for name, array in arrays.items()
    }
