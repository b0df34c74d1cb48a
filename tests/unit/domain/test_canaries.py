"""Known answers: what counts as the same, and what nobody can be asked for."""

from typing import Any

import numpy as np
import pytest

from backend.domain.canaries import TOLERANCE, agrees, as_answered
from backend.domain.tensors import Array, Signature, TensorSpec, render_outputs

SIGNATURE = Signature(
    (), (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("label", "INT64", (-1,)), TensorSpec("word", "BYTES", (-1,)))
)
OUTPUTS: dict[str, Array] = {
    "y": np.array([[1.0, -100.0]], np.float32),
    "label": np.array([7], np.int64),
    "word": np.array([b"cat"], object),
}


def answer(**changes: Any) -> dict[str, object]:
    """What a node answers, right or as changed."""
    return {"outputs": render_outputs(OUTPUTS | changes, SIGNATURE)}


def known() -> dict[str, Any]:
    found = as_answered(OUTPUTS, SIGNATURE)
    assert found is not None
    return found


def test_the_right_answer_agrees_also_with_the_rounding_of_other_hardware() -> None:
    assert agrees(known(), answer(), SIGNATURE)
    assert agrees(known(), answer(y=OUTPUTS["y"] + np.float32(0.9 * TOLERANCE * 100)), SIGNATURE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"y": OUTPUTS["y"] + np.float32(1.1 * TOLERANCE * 100)},
        {"y": np.zeros((1, 2), np.float32)},
        {"y": np.array([[1.0, -100.0], [1.0, -100.0]], np.float32)},
        {"y": np.array([[np.nan, -100.0]], np.float32)},
        {"label": np.array([8], np.int64)},
        {"word": np.array([b"dog"], object)},
    ],
    ids=str,
)
def test_another_answer_does_not_agree(wrong: dict[str, Any]) -> None:
    assert not agrees(known(), answer(**wrong), SIGNATURE)


@pytest.mark.parametrize("body", [None, [], {}, {"outputs": None}, {"outputs": []}, {"outputs": [1]}], ids=str)
def test_what_is_no_answer_at_all_does_not_agree(body: object) -> None:
    assert not agrees(known(), body, SIGNATURE)


def test_zeros_agree_with_nothing_but_zeros() -> None:
    zeros = as_answered(OUTPUTS | {"y": np.zeros((1, 2), np.float32)}, SIGNATURE)
    assert zeros is not None
    assert agrees(zeros, answer(y=np.zeros((1, 2), np.float32)), SIGNATURE)
    assert not agrees(zeros, answer(y=np.full((1, 2), 1e-6, np.float32)), SIGNATURE)


def test_what_cannot_be_written_as_json_is_no_known_answer() -> None:
    assert as_answered(OUTPUTS | {"y": np.array([[np.inf, 0.0]], np.float32)}, SIGNATURE) is None
