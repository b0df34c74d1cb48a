"""Room for a batch's results: expected by the signature, then by what was seen, and refused at a limit."""

import numpy as np
import orjson
import pytest

from backend.domain.batch_outputs import (
    BATCH_OUTPUT_BYTES_MAX,
    LINE_BYTES,
    SEEN_FACTOR,
    OutputRoom,
    expected_bytes,
)
from backend.domain.files import ACCOUNT_BYTES_MAX
from backend.domain.tensors import DATATYPES, Signature, TensorSpec, render_outputs
from backend.domain.work import PAYLOAD_BYTES_MAX


def signature(datatype: str, *shape: int) -> Signature:
    """A model that gives one tensor."""
    return Signature((), (TensorSpec("y", datatype, shape),))


def room(kept: int = 0, under_way: int = 0, account: int = 0, lines_left: int = 0) -> OutputRoom:
    """Room of a batch whose account keeps so much beside it."""
    return OutputRoom(kept, under_way, kept + account, under_way, lines_left)


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BYTES"])
def test_numbers_fill_no_more_than_is_expected_of_them(datatype: str) -> None:
    given, dtype = signature(datatype, -1, 50), DATATYPES[datatype]
    widest = np.finfo(dtype).min if dtype.kind == "f" else dtype.kind != "b" and np.iinfo(dtype).min
    outputs = {"y": np.full((3, 50), widest, dtype)}
    filled = len(orjson.dumps({"outputs": render_outputs(outputs, given)}))
    assert filled <= expected_bytes(given, 3)


def test_rows_count_where_the_leading_axis_is_free_and_nowhere_else() -> None:
    assert expected_bytes(signature("FP32", -1, 10), 4) > expected_bytes(signature("FP32", -1, 10), 1)
    assert expected_bytes(signature("FP32", 2, 10), 4) == expected_bytes(signature("FP32", 2, 10), 1)


@pytest.mark.parametrize("given", [signature("BYTES", 1), signature("FP32", -1, -1), signature("FP64", 1_000_000)])
def test_of_texts_and_free_axes_and_large_tensors_as_much_is_expected_as_one_answer_may_fill(given: Signature) -> None:
    assert expected_bytes(given, 1) == PAYLOAD_BYTES_MAX


def test_what_was_seen_of_a_model_counts_more_than_its_signature() -> None:
    seen = OutputRoom(0, 0, 0, 0, 0, {("a", 1): 100})
    assert seen.expected(("a", 1), 5, 9) == SEEN_FACTOR * 100 * 5
    assert seen.expected(("a", 2), 5, 9) == 9
    assert OutputRoom(0, 0, 0, 0, 0, {("a", 1): PAYLOAD_BYTES_MAX}).expected(("a", 1), 2, 9) == 2 * PAYLOAD_BYTES_MAX


def test_a_batch_is_promised_room_up_to_its_limit_and_not_one_byte_more() -> None:
    left = room(kept=1_000, under_way=2_000, lines_left=3)
    more = BATCH_OUTPUT_BYTES_MAX - 3_000 - 3 * LINE_BYTES
    assert left.refusal(more) is None
    refused = left.refusal(more + 1)
    assert refused is not None
    assert (refused.code, refused.accepted) == (
        "batch_output_full",
        f"{BATCH_OUTPUT_BYTES_MAX} bytes of outputs and errors in one batch: send the rest in another",
    )
    full = left.after(more)
    assert full.refusal(1) is not None
    assert full.comes_back


def test_what_the_account_keeps_beside_it_counts_too() -> None:
    left = room(account=ACCOUNT_BYTES_MAX - 500)
    assert left.refusal(500) is None
    refused = left.refusal(501)
    assert refused is not None
    assert refused.code == "too_many_bytes"
    assert not left.comes_back
