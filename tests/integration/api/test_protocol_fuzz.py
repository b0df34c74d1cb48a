"""Whatever is sent to be inferred, the server answers what was wrong with it, and goes on to serve."""

import json
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.api.callers import Callers
from tests.integration.api.requests import ROW, body
from tests.integration.api.supply import Supply

INFER = "/v2/models/scale/infer"
RAW = struct.pack("<4f", *ROW)
LENGTH = "Inference-Header-Content-Length"

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "y"]) | junk,
        "datatype": st.sampled_from(["FP32", "BYTES", "BF16"]) | junk,
        "shape": st.just([1, 4]) | st.lists(st.integers(-1, 2**40), max_size=3) | junk,
    },
    optional={
        "data": st.just(ROW) | junk,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.just(16) | st.integers(-1, 40) | junk}) | junk,
    },
)
bodies = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=3) | junk},
    optional={
        "id": st.text(max_size=5) | junk,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.just("y") | junk}, optional={"parameters": junk})) | junk,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": st.booleans() | junk}) | junk,
    },
)


def test_no_body_brings_the_server_down(callers: Callers, supply: Supply) -> None:
    served = 0

    @settings(max_examples=150, deadline=None)
    @given(bodies | junk, st.sampled_from([b"", RAW, RAW + b"\0", RAW[:7]]), st.integers(-3, 3) | st.none())
    def ask(content: Any, buffers: bytes, off: int | None) -> None:
        nonlocal served
        header = json.dumps(content).encode()
        headers = {} if off is None else {LENGTH: str(len(header) + off)}
        answer = callers.user.post(INFER, content=header + buffers, headers=headers)
        assert answer.status_code in (200, 400), answer.text
        assert answer.status_code == 200 or answer.headers["Swarmex-Error-Code"]
        served += answer.status_code == 200

    ask()
    assert callers.user.post(INFER, json=body()).status_code == 200
