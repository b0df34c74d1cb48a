"""Weights are read where they lie, in the order of their tensors' names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.domain.federated.weights import Floats, Weights, columns
from tests.unit.domain.federated.files import file_of

WIDE = np.arange(6, dtype=np.float32).reshape(2, 3)
NARROW = np.array([0.5, -2.0], np.float16)
ONE = np.array(7.0, np.float32)


def block(weights: Weights, start: int, stop: int) -> Floats:
    """Columns as they come with enough scratch."""
    return weights.block(start, stop, np.empty(stop - start, np.float32))


@given(
    start=st.integers(0, 9), length=st.integers(0, 9), padding=st.integers(0, 3), order=st.permutations(["a", "b", "c"])
)
def test_any_columns_are_the_same_whatever_the_order_types_and_alignment_of_the_file(
    start: int, length: int, padding: int, order: list[str]
) -> None:
    arrays: dict[str, NDArray[np.floating]] = {"a": WIDE, "b": NARROW, "c": ONE}
    weights = Weights(file_of({name: arrays[name] for name in order}, padding))
    flat = np.array([0, 1, 2, 3, 4, 5, 0.5, -2, 7], np.float32)
    stop = min(start + length, 9)
    assert block(weights, start, stop).tolist() == flat[start:stop].tolist()
    assert weights.flat().tolist() == flat.tolist()
    assert block(weights, start, stop).dtype == np.float32


def test_numbers_of_one_type_in_order_are_not_copied() -> None:
    data = file_of({"a": WIDE, "b": ONE}, padding=(-len(file_of({"a": WIDE, "b": ONE}))) % 4)
    weights = Weights(data)
    scratch = np.zeros(7, np.float32)
    assert np.shares_memory(weights.flat(), np.frombuffer(data, np.uint8))
    assert not np.shares_memory(weights.block(1, 7, scratch), scratch)
    assert not scratch.any()


def test_tensors_have_their_shapes() -> None:
    arrays = Weights(file_of({"b": NARROW, "a": WIDE, "c": ONE})).arrays()
    assert list(arrays) == ["a", "b", "c"]
    assert arrays["a"].tolist() == WIDE.tolist()
    assert arrays["b"].dtype == np.float32
    assert arrays["b"].tolist() == [0.5, -2.0]
    assert arrays["c"].shape == ()


@given(size=st.integers(0, 50), width=st.integers(1, 60))
def test_blocks_of_columns_cover_each_once(size: int, width: int) -> None:
    covered = [column for start, stop in columns(size, width) for column in range(start, stop)]
    assert covered == list(range(size))
    assert all(0 < stop - start <= width for start, stop in columns(size, width))
