"""Tensors in raw buffers: the protocol's binary extension, in and out, and what of it is refused."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import (
    DATATYPES,
    TEXTS_MAX,
    Array,
    Outputs,
    Signature,
    TensorSpec,
    as_texts,
    encode,
    raw_of_plain,
    read_id,
    read_inputs,
    read_outputs,
    read_wishes,
    render,
    split_body,
)
from tests.unit.domain.refusals import refusal
from tests.unit.domain.tensors import parsed, signature, tensors

Drawn = tuple[str, list[int], list[object]]
PAIRS = signature("FP32", (-1, 2))
MIXED = Signature(tuple(TensorSpec(name, name, (-1, 2)) for name in DATATYPES), ())
TWO = Signature((), (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "BYTES", (-1,))))
ROW = struct.pack("<2f", 1.0, 2.0)


def raw(size: object, **changes: object) -> dict[str, Any]:
    """An input whose data follows in a buffer of that size."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": size}}
    return tensor | changes


def refused(body: object, buffers: bytes = ROW, model: Signature = PAIRS) -> InvalidTensor:
    """The refusal of a request with buffers."""
    error = refusal(lambda: read_inputs(body, model, memoryview(buffers)))
    assert isinstance(error, InvalidTensor)
    assert error.field
    assert error.accepted
    return error


def equal(left: Array, right: Array) -> bool:
    """Whether two arrays are the same in type, shape and values."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tolist() == right.tolist()


@given(tensors(), st.integers(0, 3))
def test_what_is_written_raw_is_read_back_wherever_it_lies_in_memory(drawn: Drawn, offset: int) -> None:
    datatype, shape, values = drawn
    array = parsed(datatype, shape, values)
    buffer = encode(array, datatype)
    whole = memoryview(b"\1" * offset + bytes(buffer))
    model = signature(datatype, (-1,) * len(shape))
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(buffer)}}
    [given_tensor] = read_inputs({"inputs": [tensor]}, model, whole[offset:])
    assert equal(given_tensor.array(), array)
    assert given_tensor.array().flags.aligned


@given(tensors(), st.booleans())
def test_outputs_are_read_back_as_they_were_rendered(drawn: Drawn, raw_wish: bool) -> None:
    datatype, shape, values = drawn
    array = parsed(datatype, shape, values)
    model = signature(datatype, (-1,) * len(shape))
    rendered = render({"y": array}, model, {"y": raw_wish})
    assert len(rendered.buffers) == raw_wish
    joined = memoryview(b"".join(rendered.buffers))
    for wished in {raw_wish, True}:  # a node may always answer in JSON
        read = read_outputs(rendered.tensors, model, {"y": wished}, joined)
        assert read.tensors == rendered.tensors
        assert equal(read.arrays()["y"], array)


def test_a_buffer_of_numbers_is_not_copied() -> None:
    buffer = bytearray(np.arange(4, dtype=np.float32).tobytes())
    [tensor] = read_inputs({"inputs": [raw(16, shape=[2, 2])]}, PAIRS, memoryview(buffer))
    array = tensor.array()
    buffer[:4] = struct.pack("<f", 9.0)
    assert array[0, 0] == 9.0
    source = np.arange(4, dtype=np.float32)
    source_buffer = encode(source, "FP32")
    source[0] = 7.0
    assert struct.unpack("<f", source_buffer[:4]) == (7.0,)


def test_arrays_that_are_not_in_order_in_memory_are_written_row_major() -> None:
    assert bytes(encode(np.arange(4, dtype=np.int8).reshape(2, 2).T, "INT8")) == bytes([0, 2, 1, 3])
    assert bytes(encode(np.array(5, dtype=np.int8), "INT8")) == bytes([5])
    assert bytes(encode(np.zeros((0, 3), np.float32), "FP32")) == b""


def test_in_bool_all_but_zero_is_true() -> None:
    [tensor] = read_inputs(
        {"inputs": [raw(2, datatype="BOOL", shape=[1, 2])]}, signature("BOOL", (-1, 2)), memoryview(b"\x00\x07")
    )
    assert tensor.array().tolist() == [[False, True]]


def test_texts_have_their_length_before_them() -> None:
    texts = np.array([b"", "é", b"a\0b"], object)
    buffer = encode(texts, "BYTES")
    assert bytes(buffer) == b"\0\0\0\0" + b"\2\0\0\0\xc3\xa9" + b"\3\0\0\0a\0b"
    assert bytes(raw_of_plain([b"", "é".encode(), b"a\0b"], "BYTES", "x")) == bytes(buffer)
    assert bytes(raw_of_plain([1, 2], "INT8", "x")) == b"\1\2"


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        b"\1\0\0\0a",  # one of two
        b"\1\0\0\0a\1\0\0",  # a length cut off
        b"\1\0\0\0a\2\0\0\0b",  # a text cut off
        b"\1\0\0\0a\1\0\0\0b\0\0\0\0",  # one too many
        b"\xff\xff\xff\xff" + b"a" * 100,
    ],
)
def test_texts_that_do_not_fill_their_buffer_are_refused(buffer: bytes) -> None:
    tensor = raw(len(buffer), datatype="BYTES")
    error = refused({"inputs": [tensor]}, buffer, signature("BYTES", (-1, 2)))
    assert error.field == "inputs[0].parameters.binary_data_size"


def test_texts_are_unicode_and_not_too_many() -> None:
    model = signature("BYTES", (-1,))
    buffer = b"\1\0\0\0\xff"
    error = refused({"inputs": [raw(len(buffer), datatype="BYTES", shape=[1])]}, buffer, model)
    assert (error.field, error.accepted) == ("inputs[0].data", "UTF-8")
    error = refused({"inputs": [raw(0, datatype="BYTES", shape=[TEXTS_MAX + 1])]}, b"", model)
    assert (error.field, error.accepted) == ("inputs[0].shape", f"at most {TEXTS_MAX} elements")


def test_an_engine_that_knows_no_bytes_gets_texts_and_numbers_as_they_are() -> None:
    numbers = np.zeros(2)
    given_texts = as_texts({"t": np.array([["é".encode(), "b"]], object), "n": numbers})
    assert given_texts["t"].tolist() == [["é", "b"]]
    assert given_texts["n"] is numbers


@pytest.mark.parametrize("size", [-1, 9, 7, 4, "8", 8.0, True, None, 2**70, [8]])
def test_a_size_that_is_not_the_tensors_is_refused_by_its_field(size: object) -> None:
    assert refused({"inputs": [raw(size)]}).field == "inputs[0].parameters.binary_data_size"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": [raw(8, data=[1, 2])]}, "inputs[0].data"),
        ({"inputs": [raw(8, parameters=[])]}, "inputs[0].parameters"),
        ({"inputs": [raw(8, parameters={"shared_memory_region": "r"})]}, "inputs[0].parameters"),
        ({"inputs": [raw(8, datatype="FP16")]}, "inputs[0].datatype"),
        ({"inputs": [raw(8, datatype="BF16")]}, "inputs[0].datatype"),
        ({"inputs": [raw(8, shape=[1, 3])]}, "inputs[0].shape"),
        ({"inputs": [raw(8, shape=[2, 2])]}, "inputs[0].parameters.binary_data_size"),
        ({"inputs": [raw(8, parameters={}, data=[1, 2])]}, "inputs"),  # nobody's bytes
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(body: object, field: str) -> None:
    assert refused(body).field == field


def test_bytes_after_the_last_buffer_are_refused() -> None:
    error = refused({"inputs": [raw(8)]}, ROW + b"\0")
    assert (error.field, error.accepted) == ("inputs", "8 bytes of binary data, as the inputs' binary_data_size say")


@pytest.mark.parametrize(("length", "parts"), [(None, (4, 0)), ("0", (0, 4)), ("3", (3, 1)), ("4", (4, 0))])
def test_a_body_is_split_where_its_header_says(length: str | None, parts: tuple[int, int]) -> None:
    header, buffers = split_body(b"{}ab", length)
    assert (len(header), len(buffers)) == parts


@pytest.mark.parametrize("length", ["5", "-1", "", "x", "٣", "1.0", " 3", "9" * 10_000])
def test_a_length_of_the_json_part_that_cannot_be_is_refused(length: str) -> None:
    error = refusal(lambda: split_body(b"{}ab", length))
    assert (error.code, error.field) == ("invalid_header_length", "Inference-Header-Content-Length")
    assert len(error.message) < 200


@pytest.mark.parametrize(
    ("body", "wishes"),
    [
        ({}, {"a": False, "b": False}),
        ({"outputs": []}, {"a": False, "b": False}),
        ({"parameters": {"binary_data_output": True, "mine": 1}}, {"a": True, "b": True}),
        ({"outputs": [{"name": "b"}]}, {"b": False}),
        ({"outputs": [{"name": "b"}], "parameters": {"binary_data_output": True}}, {"b": True}),
        ({"outputs": [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]}, {"b": True, "a": False}),
        (
            {"outputs": [{"name": "b", "parameters": {"binary_data": False}}],
             "parameters": {"binary_data_output": True}},
            {"b": False},
        ),
    ],
)  # fmt: skip
def test_outputs_come_as_they_are_wished(body: dict[str, Any], wishes: dict[str, bool]) -> None:
    assert read_wishes(body, TWO) == wishes


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outputs": None}, "outputs"),
        ({"outputs": {}}, "outputs"),
        ({"outputs": ["a"]}, "outputs"),
        ({"outputs": [{}]}, "outputs[0].name"),
        ({"outputs": [{"name": "a"}, {"name": "c"}]}, "outputs[1].name"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "outputs[1].name"),
        ({"outputs": [{"name": ["a"]}]}, "outputs[0].name"),
        ({"outputs": [{"name": "a", "parameters": 1}]}, "outputs[0].parameters"),
        ({"outputs": [{"name": "a", "parameters": {"binary_data": 1}}]}, "outputs[0].parameters.binary_data"),
        ({"outputs": [{"name": "a", "parameters": {"classification": 3}}]}, "outputs[0].parameters.classification"),
        ({"outputs": [{"name": "a", "parameters": {"shared_memory_region": "r"}}]}, "outputs[0].parameters"),
        ({"parameters": []}, "parameters"),
        ({"parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_by_their_field(body: dict[str, Any], field: str) -> None:
    assert refusal(lambda: read_wishes(body, TWO)).field == field


def test_an_id_is_a_short_text_or_none() -> None:
    assert read_id({}) is None
    assert read_id({"id": ""}) == ""
    for wrong in (None, 1, "x" * 201):
        body = {"id": wrong}
        assert refusal(lambda given=body: read_id(given)).field == "id"  # type: ignore[misc]  # of this turn


A = {"name": "a", "datatype": "FP32", "shape": [1], "data": [1.0]}
B = {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
B_RAW = b"\1\0\0\0x"


def test_a_nodes_outputs_are_kept_to_what_the_protocol_has() -> None:
    read = read_outputs([B, A | {"more": 1}], TWO, {"a": True, "b": True}, memoryview(B_RAW))
    assert read.tensors == [B, A]
    assert [bytes(buffer) for buffer in read.buffers] == [B_RAW]
    assert {name: array.tolist() for name, array in read.arrays().items()} == {"b": [b"x"], "a": [1.0]}


@pytest.mark.parametrize(
    ("listed", "buffers"),
    [
        (None, b""),
        ([None], b""),
        ([], b""),
        ([A], b""),
        ([A, A], b""),
        ([A, B | {"name": "c"}], B_RAW),
        ([A, B], b""),
        ([A, B], B_RAW + b"\0"),
        ([A, B | {"parameters": {"binary_data_size": 4}}], B_RAW),
        ([A, B | {"parameters": {"binary_data_size": True}}], B_RAW),
        ([A, B | {"parameters": None}], B_RAW),
        ([A, B | {"shape": [2]}], B_RAW),
        ([A | {"datatype": "FP64"}, B], B_RAW),
        ([A | {"shape": None}, B], B_RAW),
        ([A | {"shape": [-1]}, B], B_RAW),
        ([A | {"shape": [10**5000]}, B], B_RAW),
        ([A | {"shape": [4_000_000, 4_000_000]}, B], B_RAW),
        ([A | {"shape": [2]}, B], B_RAW),
        ([A | {"data": None}, B], B_RAW),
        ([A | {"data": [{}]}, B], B_RAW),
        ([A | {"data": [[1.0, 2.0]]}, B], B_RAW),
        ([A | {"parameters": {"binary_data_size": 4}}, B], b"\0\0\0\0" + B_RAW),  # JSON was wished
    ],
)
def test_outputs_that_are_not_whole_or_were_not_wished_are_refused(listed: object, buffers: bytes) -> None:
    wishes = {"a": False, "b": True}
    assert refusal(lambda: read_outputs(listed, TWO, wishes, memoryview(buffers))).code == "invalid_tensor"


def test_outputs_that_nobody_wished_are_not_rendered() -> None:
    outputs = {"a": np.zeros(1, np.float32), "b": np.array([b"x"], object), "c": np.zeros(1)}
    assert render(outputs, TWO, {"b": True}).tensors == [B]


def test_outputs_without_rows_are_outputs() -> None:
    empty = {"name": "a", "datatype": "FP32", "shape": [0], "parameters": {"binary_data_size": 0}}
    read = read_outputs([empty], TWO, {"a": True})
    assert read == Outputs([empty], [memoryview(b"")])
    assert read.arrays()["a"].shape == (0,)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.integers(-2, 40)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
PLACES = ("name", "datatype", "shape", "data", "parameters", "size")
SIZES = {name: 8 if name == "BYTES" else 2 * dtype.itemsize for name, dtype in DATATYPES.items()}
WHOLE = bytes(sum(SIZES.values()))  # zeros are a number of any kind, and texts without a letter


@given(st.data(), st.sampled_from(list(DATATYPES)), st.sampled_from([*PLACES, "buffers", "nothing"]), json_values)
def test_a_good_request_with_one_thing_replaced_is_read_or_refused(
    data: st.DataObject, name: str, place: str, junk: Any
) -> None:
    tensors_: dict[str, dict[str, Any]] = {
        n: {"name": n, "datatype": n, "shape": [1, 2], "parameters": {"binary_data_size": SIZES[n]}} for n in DATATYPES
    }
    buffers = WHOLE
    if place == "size":
        tensors_[name]["parameters"] = {"binary_data_size": junk}
    elif place == "buffers":
        buffers = data.draw(st.binary(max_size=200)) + WHOLE[: data.draw(st.integers(0, len(WHOLE)))]
    elif place != "nothing":
        tensors_[name][place] = junk
    error = read_or_refused(lambda: read_inputs({"inputs": list(tensors_.values())}, MIXED, memoryview(buffers)))
    assert error is None or (error.field and len(error.message) < 300)
    assert error is None or place != "nothing"


def read_or_refused(read: Callable[[], object]) -> InvalidTensor | None:
    """The refusal if there was one; any other failure is a failure."""
    try:
        read()
    except InvalidTensor as error:
        return error
    return None


@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_bytes_are_texts_or_refused(buffer: bytes, rows: int) -> None:
    tensor = raw(len(buffer), datatype="BYTES", shape=[rows, 2])
    model = signature("BYTES", (-1, 2))
    try:
        [given_tensor] = read_inputs({"inputs": [tensor]}, model, memoryview(buffer))
    except InvalidTensor:
        return
    assert bytes(encode(given_tensor.array(), "BYTES")) == buffer


@given(json_values, json_values, st.binary(max_size=40))
def test_whatever_a_node_answers_is_read_or_refused(one: Any, other: Any, buffers: bytes) -> None:
    for listed in (one, [one, other], [A | {"data": one}, B], [A | {"shape": one}, B | {"parameters": other}]):
        error = read_or_refused(lambda n=listed: read_outputs(n, TWO, {"a": True, "b": True}, memoryview(buffers)))  # type: ignore[misc]  # of this turn
        assert error is None or len(error.message) < 300
