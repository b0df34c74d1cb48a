"""Requests that fit a model's signature, and the way back: outputs as the protocol writes them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.tensors import (
    DATATYPES,
    Signature,
    TensorSpec,
    parse_request,
    render_outputs,
    rows_of,
)
from tests.unit.domain.tensors import LARGEST_FLOAT, bounds, nested, parsed, shapes, signature, tensors
from tests.unit.domain.tensors import body as request_body

RANK_MAX = 16  # far above the rank of any model's tensors
Drawn = tuple[str, list[int], list[object]]


def stored(values: list[object]) -> list[object]:
    """Values as an array holds them: text as UTF-8."""
    return [value.encode() if isinstance(value, str) else value for value in values]


@given(tensors())
def test_values_arrive_unchanged_in_row_major_order(drawn: Drawn) -> None:
    datatype, shape, values = drawn
    array = parsed(datatype, shape, values)
    assert array.dtype == DATATYPES[datatype]
    assert list(array.shape) == shape
    assert array.ravel().tolist() == stored(values)


@given(tensors())
def test_nested_and_flat_data_are_the_same(drawn: Drawn) -> None:
    datatype, shape, values = drawn
    array = parsed(datatype, shape, nested(values, shape))
    assert list(array.shape) == shape
    assert array.ravel().tolist() == stored(values)


@given(tensors())
def test_what_a_model_gives_can_be_sent_to_the_next_one(drawn: Drawn) -> None:
    datatype, shape, values = drawn
    given_array = parsed(datatype, shape, values)
    model = signature(datatype, (-1,) * len(shape))
    (rendered,) = json.loads(json.dumps(render_outputs({"y": given_array}, model)))
    assert (rendered["name"], rendered["datatype"], rendered["shape"]) == ("y", datatype, shape)
    received = parse_request({"inputs": [rendered | {"name": "x"}]}, model)["x"]
    assert received.dtype == given_array.dtype
    assert np.array_equal(received, given_array)


def test_outputs_are_listed_as_the_signature_lists_them_whatever_else_a_model_gave() -> None:
    model = Signature((), (TensorSpec("b", "INT64", (-1, 2)), TensorSpec("a", "BYTES", (-1,))))
    outputs = {"a": np.array(["é", b"\xff", b"x"], object), "b": np.arange(4).reshape(2, 2), "c": np.zeros(1)}
    assert render_outputs(outputs, model) == [
        {"name": "b", "datatype": "INT64", "shape": [2, 2], "data": [0, 1, 2, 3]},
        {"name": "a", "datatype": "BYTES", "shape": [3], "data": ["é", "\ufffd", "x"]},
    ]


def test_outputs_that_are_not_contiguous_in_memory_are_still_row_major() -> None:
    model = signature("INT64", (-1, -1))
    (rendered,) = render_outputs({"y": np.arange(6).reshape(2, 3).T}, model)
    assert (rendered["shape"], rendered["data"]) == ([3, 2], [0, 3, 1, 4, 2, 5])


@pytest.mark.parametrize("datatype", [name for name, dtype in DATATYPES.items() if dtype.kind in "iu"])
def test_the_least_and_the_largest_integer_are_accepted(datatype: str) -> None:
    low, high = bounds(datatype)
    assert parsed(datatype, [2], [low, high]).tolist() == [low, high]


@pytest.mark.parametrize("datatype", LARGEST_FLOAT)
def test_the_largest_finite_number_is_accepted_and_integers_count_as_numbers(datatype: str) -> None:
    largest = LARGEST_FLOAT[datatype]
    assert parsed(datatype, [4], [largest, -largest, 2, 0]).tolist() == [largest, -largest, 2.0, 0.0]


def test_a_scalar_has_an_empty_shape() -> None:
    scalar = parse_request(request_body("FP32", [], [2.5]), signature("FP32", ()))["x"]
    assert (scalar.shape, scalar.item()) == ((), 2.5)


def test_data_may_be_nested_as_deep_as_any_models_shape() -> None:
    deepest: object = 1.0
    for _ in range(RANK_MAX):
        deepest = [deepest]
    assert parsed("FP32", [1] * RANK_MAX, deepest).shape == (1,) * RANK_MAX


def test_inputs_may_come_in_any_order_and_carry_members_that_the_protocol_allows() -> None:
    model = Signature((TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "BOOL", (1,))), ())
    b = {"name": "b", "datatype": "BOOL", "shape": [1], "data": [True], "parameters": {"binary_data": False}}
    a = {"name": "a", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    arrays = parse_request({"id": "7", "inputs": [b, a], "outputs": [{"name": "y"}]}, model)
    assert (arrays["a"].tolist(), arrays["b"].tolist()) == ([1.0, 2.0], [True])


def test_a_model_without_inputs_takes_an_empty_list() -> None:
    assert parse_request({"inputs": []}, Signature((), ())) == {}


@given(st.integers(1, 50), shapes)
def test_rows_are_counted_along_the_longest_free_leading_axis(rows: int, rest: list[int]) -> None:
    model = Signature(
        (TensorSpec("fixed", "FP32", (2,)), TensorSpec("x", "FP32", (-1, *rest)), TensorSpec("z", "FP32", (-1,))), ()
    )
    arrays = {"fixed": np.zeros(2), "x": np.zeros((rows, *rest)), "z": np.zeros(9)}
    assert rows_of(arrays, model) == max(rows, 9)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (3, -1)])
def test_a_request_to_a_model_whose_leading_axis_is_fixed_is_one_row(shape: tuple[int, ...]) -> None:
    assert rows_of({"x": np.zeros([abs(axis) for axis in shape])}, signature("FP32", shape)) == 1


specs = st.lists(
    st.builds(
        TensorSpec,
        st.text(min_size=1, max_size=8),
        st.sampled_from(list(DATATYPES)),
        st.lists(st.integers(1, 512) | st.just(-1), max_size=4).map(tuple),
    ),
    max_size=4,
).map(tuple)


@given(st.builds(Signature, specs, specs))
def test_a_signature_survives_the_wire(model: Signature) -> None:
    assert Signature.from_wire(json.loads(json.dumps(model.to_wire()))) == model


def test_a_signature_is_written_as_the_protocols_metadata_lists_it() -> None:
    assert signature("INT8", (-1, 4)).to_wire() == {
        "inputs": [{"name": "x", "datatype": "INT8", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "INT8", "shape": [-1, 4]}],
    }
