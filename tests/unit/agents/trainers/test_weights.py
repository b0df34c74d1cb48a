"""Weights files."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from agents.trainers.base import TrainerFailed, as_float32
from agents.trainers.weights import ARRAYS_MAX, read_weights, sha256_of, write_weights


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    arrays = [np.full(shape, place, dtype=np.float32) for place, shape in enumerate([(2, 3), (), (4,)] * 5)]
    write_weights(tmp_path / "file", arrays)
    found = read_weights(tmp_path / "file")
    assert [(one.shape, one.dtype.name) for one in found] == [(one.shape, "float32") for one in arrays]
    assert all((one == other).all() for one, other in zip(found, arrays, strict=True))
    assert sorted(load_file(tmp_path / "file"))[:3] == ["0000", "0001", "0002"]
    assert sha256_of(tmp_path / "file") == sha256((tmp_path / "file").read_bytes()).hexdigest()


def test_columns_first_arrays_keep_their_meaning(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    write_weights(tmp_path / "file", [array, array.T[::2]])
    assert (read_weights(tmp_path / "file")[0] == array).all()
    assert (read_weights(tmp_path / "file")[1] == array.T[::2]).all()


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    save_file({"0000": np.array([0.5, 1.5], dtype=np.float16)}, tmp_path / "file")
    [found] = read_weights(tmp_path / "file")
    assert found.dtype == np.float32
    assert list(found) == [0.5, 1.5]


@pytest.mark.parametrize("count", [0, ARRAYS_MAX + 1])
def test_the_number_of_arrays_is_bounded(count: int, tmp_path: Path) -> None:
    with pytest.raises(TrainerFailed, match=f"^{count} arrays"):
        write_weights(tmp_path / "file", [np.zeros(1, dtype=np.float32)] * count)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    for name in ("file", "none"):
        with pytest.raises(TrainerFailed, match="cannot be read"):
            read_weights(tmp_path / name)


def test_a_place_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailed, match="could not be written"):
        write_weights(tmp_path / "none" / "file", [np.zeros(1, dtype=np.float32)])


def test_only_numbers_are_weights() -> None:
    assert [one.dtype for one in as_float32([np.arange(3), np.float64(1), [1, 2]])] == [np.float32] * 3  # type: ignore[list-item]
    with pytest.raises(TrainerFailed):
        as_float32([np.array(["weight"])])
