"""Requests that run as one: what may be joined, whose outputs are whose, and that no microsecond is lost or made."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engines.base import InferenceFailed
from agents.inference.execution import Execution
from agents.inference.held_model import BATCH_ROWS_MAX, BATCH_US_MAX, BatchSize
from agents.inference.joining import is_joinable, join, kind_of, run_joined, shares_us, split
from agents.inference.warm_up import warm_up
from backend.domain.tensors import Array, Signature, TensorSpec

PAIR = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))
SEQUENCE = Signature((TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),))


class Doubling:
    """Doubles; breaks on a negative value; counts its runs."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.rows.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise InferenceFailed("negative")
        return {"y": inputs["x"] * 2}


class Function:
    """A model of one input and one output."""

    def __init__(self, function: object) -> None:
        self._function = function

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert callable(self._function)
        return {"y": np.asarray(self._function(inputs["x"]), np.float32)}


def rows(*values: float) -> dict[str, Array]:
    return {"x": np.array([[value, value] for value in values], np.float32)}


@given(st.integers(0, 10_000_000), st.lists(st.integers(0, 1_000), min_size=1, max_size=100))
def test_shares_add_up_to_what_was_measured_and_each_is_at_least_one(measured_us: int, counts: list[int]) -> None:
    shares = shares_us(measured_us, counts)
    assert sum(shares) == max(measured_us, len(counts))
    assert min(shares) >= 1


@given(st.integers(1_000, 10_000_000), st.lists(st.integers(1, 1_000), min_size=1, max_size=100))
def test_a_share_is_as_large_as_its_rows_up_to_rounding(measured_us: int, counts: list[int]) -> None:
    for share, count in zip(shares_us(measured_us, counts), counts, strict=True):
        assert abs((share - 1) - (measured_us - len(counts)) * count / sum(counts)) < 1


def test_requests_run_as_one_and_each_gets_its_own_outputs() -> None:
    model = Doubling()
    ran = run_joined(model, PAIR, [rows(1), rows(2, 3), rows(4)])
    assert model.rows == [4]
    outputs = [one.outputs["y"][:, 0].tolist() for one in ran if isinstance(one, Execution)]
    assert outputs == [[2.0], [4.0, 6.0], [8.0]]


def test_one_bad_request_fails_alone() -> None:
    model = Doubling()
    first, bad, last = run_joined(model, PAIR, [rows(1), rows(-1), rows(3)])
    assert isinstance(first, Execution)
    assert isinstance(bad, InferenceFailed)
    assert isinstance(last, Execution)
    assert last.outputs["y"].tolist() == [[6.0, 6.0]]
    assert model.rows == [3, 1, 1, 1]


def test_outputs_of_other_rows_are_not_split_but_run_again_alone() -> None:
    ran = run_joined(Function(lambda x: x[:1]), PAIR, [rows(1, 2), rows(3)])
    assert [one.outputs["y"][:, 0].tolist() for one in ran if isinstance(one, Execution)] == [[1.0], [3.0]]


def test_texts_are_joined_as_they_are() -> None:
    texts = [{"t": np.array([[b"a"]], object)}, {"t": np.array([[b"longer"], [b""]], object)}]
    assert join(texts)["t"].tolist() == [[b"a"], [b"longer"], [b""]]


def test_an_output_of_other_rows_cannot_be_split() -> None:
    with pytest.raises(InferenceFailed, match="'y'"):
        split({"y": np.zeros((3, 2))}, [1, 1])


@pytest.mark.parametrize(
    ("inputs", "outputs", "joinable"),
    [
        ([(-1, 2)], [(-1,)], True),
        ([(-1, 2), (-1, -1)], [(-1, 3)], True),
        ([(1, 2)], [(-1, 2)], False),
        ([(-1, 2)], [(1, 2)], False),
        ([(-1, 2), (2,)], [(-1, 2)], False),
        ([(-1, 2)], [()], False),
        ([], [(-1,)], False),
        ([(-1,)], [], False),
    ],
)
def test_only_models_that_count_rows_on_both_sides_are_joined(
    inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]], joinable: bool
) -> None:
    specs = [[TensorSpec(f"{n}", "FP32", shape) for n, shape in enumerate(side)] for side in (inputs, outputs)]
    assert is_joinable(Signature(tuple(specs[0]), tuple(specs[1]))) is joinable


def test_requests_of_other_trailing_shapes_are_of_another_kind() -> None:
    free = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1,)),))
    assert kind_of({"x": np.zeros((1, 3))}, free) == kind_of({"x": np.zeros((5, 3))}, free)
    assert kind_of({"x": np.zeros((1, 3))}, free) != kind_of({"x": np.zeros((1, 4))}, free)


def test_a_request_whose_inputs_disagree_on_its_rows_is_of_no_kind() -> None:
    two = Signature((TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,))), (TensorSpec("y", "FP32", (-1,)),))
    assert kind_of({"a": np.zeros(1), "b": np.zeros(2)}, two) is None


@pytest.mark.parametrize("function", [np.cumsum, lambda x: x - x.mean(), lambda x: x[::-1], np.sort])
def test_a_free_axis_that_is_a_length_is_seen_at_the_first_runs(function: object) -> None:
    assert not warm_up(Function(function), SEQUENCE).joins


@pytest.mark.parametrize("function", [np.exp, lambda x: x * (1 + 1e-6 * len(x)), lambda x: x > 0.5])
def test_rows_that_keep_apart_are_joined_whatever_is_rounded(function: object) -> None:
    assert warm_up(Function(function), SEQUENCE).joins


def test_the_first_runs_measure_the_model_on_this_machine() -> None:
    profile = warm_up(Doubling(), PAIR).profile
    assert profile is not None
    assert profile.us_per_call >= 1
    assert profile.us_per_row >= 1


def test_a_model_that_refuses_zeros_is_kept_without_a_profile() -> None:
    def refuse(_x: Array) -> Array:
        raise InferenceFailed("zeros")

    assert warm_up(Function(refuse), PAIR).profile is None


def test_a_model_too_large_to_be_run_for_nothing_is_not() -> None:
    model = Doubling()
    huge = Signature((TensorSpec("x", "FP32", (1_000_000, 1_000)),), PAIR.outputs)
    assert warm_up(model, huge).profile is None
    assert model.rows == []


def test_texts_and_whole_numbers_can_be_warmed_up() -> None:
    class Echo:
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            return dict(inputs)

    specs = (TensorSpec("a", "BYTES", (-1, 2)), TensorSpec("b", "INT64", (-1,)), TensorSpec("c", "BOOL", (-1, 1)))
    assert warm_up(Echo(), Signature(specs, specs)).joins


def test_batches_grow_while_full_ones_are_quick_and_shrink_when_one_is_slow() -> None:
    size = BatchSize()
    grown = []
    for _ in range(10):
        size.ran(size.rows, 100)
        grown.append(size.rows)
    assert grown[:3] == [2, 4, 8]
    assert grown[-1] == BATCH_ROWS_MAX
    size.ran(64, BATCH_US_MAX * 8)
    assert size.rows == 8
    size.ran(1, BATCH_US_MAX * 8)
    assert size.rows == 1


def test_a_batch_that_is_not_full_teaches_nothing_about_fuller_ones() -> None:
    size = BatchSize()
    size.ran(1, 100)
    size.ran(1, 100)
    assert size.rows == 2
