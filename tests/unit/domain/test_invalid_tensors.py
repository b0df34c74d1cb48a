"""Requests that do not fit a model's signature: each is refused by the name of the field at fault."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import (
    DATATYPES,
    ELEMENTS_MAX,
    Signature,
    TensorSpec,
    parse_request,
)
from tests.unit.domain.refusals import refusal
from tests.unit.domain.tensors import FLOATS, INTEGERS, LARGEST_FLOAT, altered, body, bounds, elements, signature

NAN, INFINITY = float("nan"), float("inf")
PAIRS = signature("FP32", (-1, 2))


def refused(request: object, model: Signature = PAIRS) -> InvalidTensor:
    """The refusal of a request."""
    error = refusal(lambda: parse_request(request, model))
    assert isinstance(error, InvalidTensor)
    assert error.code == "invalid_tensor"
    assert error.field
    assert error.field.startswith("inputs")
    assert error.accepted
    return error


def deep(levels: int) -> list[Any]:
    """A list in a list in a list …"""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("request_", [None, [], "inputs", 1, [{"inputs": []}]])
def test_a_request_is_an_object(request_: object) -> None:
    assert refused(request_).field == "inputs"


@pytest.mark.parametrize("inputs", [None, {}, "x", 1, [None], ["x"], [[]], [{}, 1]])
def test_inputs_is_a_list_of_objects(inputs: object) -> None:
    assert refused({"inputs": inputs}).field in ("inputs", "inputs[0].name")
    assert refused({}).field == "inputs"


@pytest.mark.parametrize("name", ["y", "X", "", None, 1, ["x"], {}])
def test_an_input_that_the_model_does_not_have_is_refused_with_those_that_it_has(name: object) -> None:
    error = refused(altered(name=name))
    assert (error.field, error.accepted) == ("inputs[0].name", "each once: x")


def test_an_input_given_twice_is_refused_where_it_comes_again() -> None:
    (tensor,) = body("FP32", [1, 2], [1, 2])["inputs"]
    assert refused({"inputs": [tensor, tensor]}).field == "inputs[1].name"


def test_a_missing_input_is_named() -> None:
    model = Signature((*PAIRS.inputs, TensorSpec("mask", "BOOL", (1,))), ())
    error = refused(body("FP32", [1, 2], [1, 2]), model)
    assert "'mask'" in error.message
    assert error.accepted == "each once: x, mask"
    assert "'x'" in refused({"inputs": []}, model).message


@pytest.mark.parametrize("datatype", [None, "", "fp32", "FP64", "float32", 32, ["FP32"], {}])
def test_another_datatype_than_the_models_is_refused(datatype: object) -> None:
    error = refused(altered(datatype=datatype))
    assert (error.field, error.accepted) == ("inputs[0].datatype", "FP32")


@pytest.mark.parametrize(
    "shape",
    [
        *(None, 2, "1,2", {}, (1, 2), [], [2], [1, 1, 2], [2, 1], [1, 3], [0, 2], [-1, 2], [1, -2]),
        *([True, 2], [1.0, 2], ["1", 2], [None, 2], [[1], 2], [NAN, 2], [10**30, 3]),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_the_one_that_does(shape: object) -> None:
    error = refused(altered(shape=shape))
    assert (error.field, error.accepted) == ("inputs[0].shape", "[any, 2]")


@pytest.mark.parametrize("rows", [ELEMENTS_MAX // 2 + 1, 10**9, 2**63, 10**1_000])
def test_a_huge_shape_is_refused_before_anything_of_its_size_is_made(rows: int) -> None:
    error = refused(altered(shape=[rows, 2]))
    assert (error.field, error.accepted) == ("inputs[0].shape", f"at most {ELEMENTS_MAX} elements")


@pytest.mark.parametrize("data", [None, 1, "12", {}, {"0": 1}, True])
def test_data_is_a_list(data: object) -> None:
    assert refused(altered(data=data)).field == "inputs[0].data"


@pytest.mark.parametrize("data", [[], [1], [1, 2, 3], [[1, 2], [3, 4]]])
def test_another_number_of_values_than_the_shape_has_is_refused(data: object) -> None:
    error = refused(altered(data=data))
    assert (error.field, error.accepted) == ("inputs[0].data", "2 values, flat or nested, row-major")


@pytest.mark.parametrize("data", [[1, [2]], [[1], 2], [[1, [2]]], [[[1]], [2]], [[]], [[1], []]])
def test_data_of_mixed_depth_is_refused(data: object) -> None:
    assert refused(altered(data=data)).field == "inputs[0].data"


@pytest.mark.parametrize(
    "data",
    [
        [[1, 2], [3, 4], [5, 6]],  # the transposed shape: read row by row it would be another matrix
        [[1], [2, 3, 4, 5, 6]],
        [[1, 2, 3, 4, 5, 6]],
        [[1, 2, 3], [4, 5, 6], []],
        [[[1, 2, 3]], [[4, 5, 6]]],
    ],
)
def test_nested_data_that_is_not_nested_as_the_shape_says_is_refused(data: object) -> None:
    assert refused(body("FP32", [2, 3], data), signature("FP32", (2, 3))).field == "inputs[0].data"


WRONG: dict[str, list[object]] = {
    "BOOL": [0, 1, 0.0, "true", None, {}],
    "BYTES": [0, True, None, b"x", {}],
    **{name: [True, False, 1.0, 1.5, "1", None, NAN, INFINITY, {}] for name in INTEGERS},
    **{name: [True, "1", "NaN", None, {}] for name in FLOATS},
}


@pytest.mark.parametrize(("datatype", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_value_of_another_kind_is_refused_alone_and_among_good_ones(datatype: str, value: object) -> None:
    good = {"BOOL": True, "BYTES": "x"}.get(datatype, 1)
    for data in ([value], [good, value], [value, good]):
        error = refused(body(datatype, None, data), signature(datatype))
        assert error.field == "inputs[0].data"
        assert datatype in error.message


OUT_OF_RANGE: list[tuple[str, float]] = [
    *((name, value) for name in INTEGERS for value in (bounds(name)[0] - 1, bounds(name)[1] + 1, 10**100, -(10**100))),
    *((name, value) for name in FLOATS for value in (NAN, INFINITY, -INFINITY, 10**400, -(10**400))),
    *((name, LARGEST_FLOAT[name] * sign * 1.01) for name in FLOATS[:2] for sign in (1, -1)),
    ("FP16", 65_520),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("datatype", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_alone_and_among_good_ones(datatype: str, value: float) -> None:
    for data in ([value], [1, value]):
        error = refused(body(datatype, None, data), signature(datatype))
        assert (error.field, error.accepted) == ("inputs[0].data", "finite, in range")


def test_text_that_cannot_be_encoded_is_refused() -> None:
    """JSON may write half of a surrogate pair; no byte string stands for it."""
    assert refused(body("BYTES", [1], ["\ud800"]), signature("BYTES")).field == "inputs[0].data"


# By name, as no test runner can show them either.
JUNK: dict[str, object] = {
    "too deep": deep(20),
    "endless": deep(10_000),
    "a huge number": 10**5_000,
    "a list of a huge number": [10**5_000, 2],
    "a list of lists of huge numbers": [[10**5_000, 10**5_000]],
    "long text": "x" * 100_000,
    "a long list": [1] * 100_000,
    "a long number": [10**4_000, 2],
}


@pytest.mark.parametrize("place", ["name", "datatype", "shape", "data"])
@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_refused_by_its_place_and_not_repeated(place: str, junk: str) -> None:
    error = refused(altered(**{place: JUNK[junk]}))
    assert (error.field or "").startswith(f"inputs[0].{place}")
    assert len(error.message) <= 200


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.integers(-2, 4) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
MIXED = Signature(tuple(TensorSpec(name, name, (-1, 2)) for name in DATATYPES), ())


@given(json_values)
def test_any_json_is_parsed_or_refused(request: object) -> None:
    try:
        arrays = parse_request(request, PAIRS)
    except InvalidTensor:
        return
    assert arrays["x"].shape[1:] == (2,)


@given(st.data())
def test_a_good_request_with_one_thing_replaced_is_parsed_or_refused(data: st.DataObject) -> None:
    tensors = []
    for name in DATATYPES:
        value = elements(name)
        tensors.append({"name": name, "datatype": name, "shape": [1, 2], "data": [data.draw(value), data.draw(value)]})
    broken = data.draw(st.sampled_from(tensors))
    place = data.draw(st.sampled_from(["name", "datatype", "shape", "data", "value"]))
    junk = data.draw(json_values)
    if place == "value":
        broken["data"] = [broken["data"][0], junk]
    else:
        broken[place] = junk
    try:
        arrays = parse_request({"inputs": tensors}, MIXED)
    except InvalidTensor as error:
        field = error.field
    else:
        assert {name: array.dtype for name, array in arrays.items()} == DATATYPES
        return
    index = tensors.index(broken)
    assert field is not None
    assert field == "inputs" or field.startswith(f"inputs[{index}]") or place == "name"


@given(st.lists(st.floats() | st.integers(-(10**400), 10**400), min_size=1, max_size=4), st.sampled_from(FLOATS))
@example([1e39], "FP32")
def test_no_number_becomes_infinite_on_its_way_into_a_model(values: list[float], datatype: str) -> None:
    try:
        array = parse_request(body(datatype, None, values), signature(datatype))["x"]
    except InvalidTensor:
        return
    assert all(abs(value) <= LARGEST_FLOAT[datatype] for value in array.tolist())
