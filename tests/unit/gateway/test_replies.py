"""What a node answered, before anybody believes it."""

import orjson
import pytest

from backend.domain.tensors import Signature, TensorSpec
from backend.gateway.oip.replies import outputs_of
from backend.gateway.routing.node_client import NodeAnswer, NodeAnswered, NodeBusy, NodeChanged, NodeFailed

MODEL = Signature((), (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "INT8", (-1,))))
Y = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
RAW = b"\0\0\x80\x3f"
HEADER = orjson.dumps({"model_name": "theirs", "id": "theirs", "outputs": [Y]})


def test_the_wanted_outputs_are_taken_and_nothing_else_of_what_it_says() -> None:
    outputs = outputs_of(NodeAnswer(200, HEADER + RAW, str(len(HEADER))), MODEL, {"y": True})
    assert outputs.tensors == [Y]
    assert [bytes(buffer) for buffer in outputs.buffers] == [RAW]


@pytest.mark.parametrize(
    "answer",
    [
        NodeAnswer(200, b""),
        NodeAnswer(200, b"<html>"),
        NodeAnswer(200, b"[]"),
        NodeAnswer(200, HEADER + RAW),  # without the length of its JSON part
        NodeAnswer(200, HEADER + RAW, "9999"),
        NodeAnswer(200, HEADER + RAW, "-1"),
        NodeAnswer(200, HEADER + RAW, "7"),
    ],
)
def test_what_is_no_answer_is_the_nodes_failure(answer: NodeAnswer) -> None:
    with pytest.raises(NodeFailed) as caught:
        outputs_of(answer, MODEL, {"y": True})
    assert caught.value.code == "node_failed"


@pytest.mark.parametrize(
    "answer",
    [
        NodeAnswer(200, b"{}"),
        NodeAnswer(200, b'{"outputs": []}'),
        NodeAnswer(200, HEADER, str(len(HEADER))),  # its buffer is missing
        NodeAnswer(200, HEADER + RAW + b"\0", str(len(HEADER))),
        NodeAnswer(200, HEADER.replace(b'"y"', b'"z"') + RAW, str(len(HEADER))),
        NodeAnswer(200, HEADER.replace(b"FP32", b"FP64") + RAW, str(len(HEADER))),
    ],
)
def test_outputs_that_are_not_those_of_the_model_are_not_passed_on(answer: NodeAnswer) -> None:
    with pytest.raises(NodeAnswered) as caught:
        outputs_of(answer, MODEL, {"y": True})
    assert caught.value.code == "node_failed"


def test_a_nodes_refusals_are_told_apart() -> None:
    for status, kind in (
        (401, NodeChanged),
        (429, NodeBusy),
        (503, NodeBusy),
        (400, NodeAnswered),
        (500, NodeAnswered),
    ):
        with pytest.raises(kind):
            outputs_of(NodeAnswer(status, b'{"error": "no"}'), MODEL, {"y": True})
