"""Whatever bytes come as an inference request, they are read or refused, in memory that grows with them only."""

import gc
import json
import struct
import tracemalloc
from contextlib import suppress
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import Signature, TensorSpec
from backend.gateway.errors import InvalidJson
from backend.gateway.grpc import protocol_pb2 as pb
from backend.gateway.grpc.requests import read_request
from backend.gateway.oip.payload import Payload, read_payload, refuse_encoded

NUMBERS, TEXTS = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,))
SIGNATURE = Signature((NUMBERS, TEXTS), (TensorSpec("y", "FP32", (-1, 2)),))
FREE = Signature((TensorSpec("x", "FP32", (-1, -1, -1)),), SIGNATURE.outputs)
WORDS = Signature((TensorSpec("t", "BYTES", (-1, -1)),), SIGNATURE.outputs)
RAW = struct.pack("<2f", 1.0, 2.0) + struct.pack("<I", 2) + b"ab"
OVERHEAD = 200_000  # bytes that reading takes whatever is sent: caches, errors, numpy
PER_BYTE = 40  # bytes of Python's objects, at most, that a byte of JSON becomes: `1,` is an entry of a list


def header(**changes: Any) -> dict[str, Any]:
    """A right JSON part: a tensor of numbers, and one of texts."""
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    t = {"name": "t", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}
    return {"inputs": [x, t]} | changes


RIGHT = orjson.dumps(header())


def read(body: bytes, length: str | None, signature: Signature = SIGNATURE) -> Payload | None:
    """The request, None if it was refused as it should be."""
    try:
        return read_payload(body, length, signature)
    except (InvalidTensor, InvalidJson) as error:
        refused = error
    assert refused.code
    assert len(refused.message) < 1_000, "what was sent is not repeated"
    return None


def test_what_is_changed_below_was_right() -> None:
    assert read(RIGHT + RAW, str(len(RIGHT))) is not None


@given(st.binary(max_size=200), st.none() | st.text(max_size=14) | st.integers(-5, 250).map(str))
@example(b"", "0")
@example(b"", "")
@example(RIGHT, "9" * 30)
@example(RIGHT, "-1")
@example(RIGHT, "+1")
@example(RIGHT, "1_0")
@example(RIGHT, "\u0661")
@example(RIGHT, f" {len(RIGHT)} ")
def test_any_bytes_with_any_length_of_the_json_part_are_read_or_refused(body: bytes, length: str | None) -> None:
    read(body, length)


@settings(max_examples=300)
@given(st.data())
def test_a_right_request_with_bytes_changed_cut_or_added_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(RIGHT + RAW)
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(body)))
    more = data.draw(st.binary(max_size=9))
    off = data.draw(st.sampled_from([0, 0, 0, -1, 1, 7, -len(RIGHT)]))
    read(bytes(body[:end]) + more, str(len(RIGHT) + off))


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[NaN,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[Infinity,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1e999,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[3.5e38,1]}]}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"inputs":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        b'{"inputs":[],"inputs":[{"name":"x"},{"name":"x"}]}',
        b'\xff\xfe{"inputs":[]}',
        b'{"inputs":[{"name":"\\ud800"}]}',
        b'{"id":"' + b"i" * 100_000 + b'","inputs":[]}',
        b"9" * 100_000,
        b"-",
    ],
)
def test_what_only_looks_like_a_request_is_refused(text: bytes) -> None:
    assert read(text, None) is None
    assert read(text, str(len(text))) is None


SHAPES = [
    *([2**62, 2], [2**31, 2**31, 2**31], [2**40, 2], [-1, 2], [2**63 - 1] * 3, [10**6, 10**6, 10**6], [0, 0, 0]),
    *([1, 2, 2**61], [True, 2], [1.0, 2], ["1", 2], [None], [], [[1, 2]], [1] * 5_000),
]


@pytest.mark.parametrize("signature", [SIGNATURE, FREE, WORDS])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0, 8, 4 * 2**31, 2**62, -1, 2**64, True, 8.0, "8", None])
def test_what_is_claimed_is_not_allocated(signature: Signature, shape: list[Any], size: object) -> None:
    for name, datatype in (("x", "FP32"), ("t", "BYTES")):
        tensor = {"name": name, "datatype": datatype, "shape": shape}
        for given_ in ({"parameters": {"binary_data_size": size}}, {"data": [1.0]}):
            body = json.dumps({"inputs": [tensor | given_]}).encode()
            tracemalloc.start()
            try:
                assert read(body + bytes(8), str(len(body)), signature) is None
                assert tracemalloc.get_traced_memory()[1] < OVERHEAD + PER_BYTE * len(body)
            finally:
                tracemalloc.stop()


@pytest.mark.parametrize("length", [0, 1, 3, 2**31, 2**32 - 1])
@pytest.mark.parametrize("count", [1, 500_000])
def test_texts_that_claim_to_be_longer_than_they_are_take_no_memory(length: int, count: int) -> None:
    tensor = {"name": "t", "datatype": "BYTES", "shape": [count, 1], "parameters": {"binary_data_size": 6}}
    body = orjson.dumps({"inputs": [tensor]})
    tracemalloc.start()
    try:
        assert read(body + struct.pack("<I", length) + b"ab", str(len(body)), WORDS) is None
        assert tracemalloc.get_traced_memory()[1] < OVERHEAD
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[' + b"[]," * 100_000 + b"[]]}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[200000,2],"data":[' + b"1," * 399_999 + b"1]}]}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[' + b"[]," * 100_000 + b"[]]}]}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":["' + b"z" * 400_000 + b'"]}]}',
    ],
)
def test_memory_grows_with_what_was_sent_only(body: bytes) -> None:
    tracemalloc.start()
    try:
        read(body, None)
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < OVERHEAD + PER_BYTE * len(body)
    assert now < OVERHEAD, "and nothing of it stays"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "", "GZIP", "x" * 10_000])
def test_a_compressed_body_is_refused_unopened(encoding: str) -> None:
    with pytest.raises(InvalidTensor) as refused:
        refuse_encoded(encoding)
    assert refused.value.code == "compression_not_offered"


def message() -> pb.ModelInferRequest:
    """A right request by gRPC."""
    made = pb.ModelInferRequest(model_name="m", id="1")
    for name, datatype, shape in (("x", "FP32", [1, 2]), ("t", "BYTES", [1])):
        made.inputs.add(name=name, datatype=datatype, shape=shape)
    made.raw_input_contents.extend([RAW[:8], RAW[8:]])
    return made


@settings(max_examples=300)
@given(st.data())
def test_any_message_by_grpc_is_read_or_refused(data: st.DataObject) -> None:
    wire = bytearray(message().SerializeToString())
    for at in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=4)):
        wire[at] = data.draw(st.integers(0, 255))
    try:
        sent = pb.ModelInferRequest.FromString(bytes(wire))
    except DecodeError:
        return  # gRPC itself answers
    with suppress(InvalidTensor):
        read_request(sent, SIGNATURE)


def test_the_message_that_is_changed_was_right() -> None:
    assert read_request(message(), SIGNATURE).rows == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_json_cannot_say_change_nothing(value: float) -> None:
    sent = message()
    sent.inputs[0].parameters["scale"].double_param = value
    sent.inputs[0].parameters["count"].uint64_param = 2**64 - 1
    assert read_request(sent, SIGNATURE).rows == 1
