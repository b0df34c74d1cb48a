"""An update is used only if it has the model's tensors and nothing but usable numbers in them."""

import numpy as np
import pytest

from backend.domain.federated import weights
from backend.domain.federated.faults import Fault
from backend.domain.federated.layout import DType, Layout, TensorPlace
from backend.domain.federated.tasks import EXAMPLES_MAX
from backend.domain.federated.updates import VALUE_MAX, Update
from backend.domain.federated.weights import COLUMNS, Weights
from tests.unit.domain.federated.files import file_of, update_of
from tests.unit.domain.refusals import refusal

SIZE = COLUMNS + 10  # so that there is more than one block
MODEL = Layout((TensorPlace("w", DType.F32, (SIZE,)),))


def with_value(value: float, at: int) -> Update:
    """Ones, but for one number."""
    flat = np.ones(SIZE, np.float32)
    flat[at] = value
    return update_of(flat)


@pytest.mark.parametrize("at", [0, COLUMNS - 1, COLUMNS, SIZE - 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_none_anywhere_rejects_the_whole_update(value: float, at: int) -> None:
    assert refusal(lambda: with_value(value, at).check(MODEL)).code == Fault.NOT_FINITE


@pytest.mark.parametrize("value", [1e13, -1e13, 3e38])
def test_one_number_that_no_model_has_rejects_the_whole_update(value: float) -> None:
    assert refusal(lambda: with_value(value, COLUMNS + 1).check(MODEL)).code == Fault.OUT_OF_RANGE


@pytest.mark.parametrize("value", [0.0, -1e-38, VALUE_MAX / 2, -VALUE_MAX / 2])
def test_any_other_number_passes(value: float) -> None:
    with_value(value, 3).check(MODEL)


def test_many_large_numbers_pass_although_the_sum_of_their_squares_is_larger_than_one_of_them_may_be() -> None:
    update_of(np.full(SIZE, VALUE_MAX / 2, np.float32)).check(MODEL)


def test_infinity_in_half_precision_is_found() -> None:
    model = Layout((TensorPlace("w", DType.F32, (2,)),))
    Update(file_of({"w": np.array([1, 2], np.float16)}), 1).check(model)
    broken = Update(file_of({"w": np.array([1, np.inf], np.float16)}), 1)
    assert refusal(lambda: broken.check(model)).code == Fault.NOT_FINITE


def test_an_update_of_another_model_is_rejected() -> None:
    assert refusal(lambda: update_of(np.ones((SIZE, 1))).check(MODEL)).code == Fault.WRONG_SHAPE
    other = Update(file_of({"v": np.ones(SIZE, np.float32)}), 1)
    assert refusal(lambda: other.check(MODEL)).code == Fault.WRONG_NAMES


@pytest.mark.parametrize("examples", [0, -1, EXAMPLES_MAX + 1])
def test_a_number_of_examples_that_cannot_be_is_rejected(examples: int) -> None:
    assert refusal(lambda: update_of([1.0], examples)).code == Fault.WRONG_EXAMPLES


def test_an_update_is_the_same_from_bytes_from_a_view_of_them_and_from_weights() -> None:
    data = file_of({"a": np.arange(4, dtype=np.float16), "b": np.ones(3, np.float32)})
    sources: list[Weights | bytes | memoryview] = [Weights(data), data, memoryview(data)]
    assert [Update(source, 2).weights.flat().tolist() for source in sources] == [[0, 1, 2, 3, 1, 1, 1]] * 3


def test_a_file_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of({"w": np.ones(500, np.float32)})
    monkeypatch.setattr(weights, "UPDATE_BYTES_MAX", len(data) - 1)
    assert refusal(lambda: Update(data, 1)).code == Fault.TOO_LARGE


def test_the_distance_to_the_base_is_the_norm_of_all_blocks() -> None:
    base = np.full(SIZE, 1e6, np.float32)
    moved = base.copy()
    moved[[0, SIZE - 1]] += [3, 4]
    assert update_of(moved).distance(base) == 5.0
