"""Whatever is sent to be inferred, the server answers what was wrong with it, and goes on to serve."""

import gzip
import json
import resource
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
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


BOMB = bytes(100 << 20)  # what a few kilobytes become when they are unpacked
GROWTH_MAX = 4 << 20  # in a spell: less than a single request of them has
ROUNDS = 8  # in a spell
SPELLS_MAX = 8  # the allocator's own pools grow at first, and then no more


def peak_bytes() -> int:
    """The most memory that this process, and so the server in it, has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BOMB, mtime=0)),
        ("deflate", zlib.compress(BOMB)),
        ("gzip", gzip.compress(json.dumps(body()).encode(), mtime=0)),
        ("gzip, gzip", gzip.compress(gzip.compress(BOMB, mtime=0), mtime=0)),
        ("br", b"\x0b\x02\x80"),
        ("x" * 3_000, b"{}"),
    ],
    ids=["gzip-bomb", "deflate-bomb", "gzip", "twice", "brotli", "unknown"],
)
def test_what_is_packed_is_refused_and_never_unpacked(
    callers: Callers, supply: Supply, encoding: str, packed: bytes
) -> None:
    before = peak_bytes()
    answer = callers.user.post(INFER, content=packed, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["Swarmex-Error-Code"]) == (400, "compression_not_offered")
    assert peak_bytes() - before < len(BOMB) // 2
    for path in ("/api/v1/orders", "/v1/batches"):
        refused = callers.user.post(path, content=packed, headers={"Content-Encoding": encoding})
        assert 400 <= refused.status_code < 500, "as JSON it cannot be read"
    assert peak_bytes() - before < len(BOMB) // 2


def hostile() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Requests that claim to be, or would become, much more than they are."""
    head = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2**40, 4], "parameters": {"binary_data_size": 2**42}}]}
    ).encode()
    yield head, {LENGTH: str(len(head))}
    yield b"{}", {LENGTH: "9" * 18}
    yield b"{}", {LENGTH: "-2"}
    yield b"{}" * 10, {LENGTH: "0"}
    yield b"[" * 1_000_000, {}
    yield b'{"inputs":' * 300_000, {}
    yield b'{"inputs":[' + b"{}," * 300_000 + b"{}]}", {}
    yield b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,Infinity,1,2]}]}', {}
    yield b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + b"[" * 900 + b"]" * 900 + b"}]}", {}
    yield b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[' + b"1," * 1_000_000 + b"1]}]}", {}
    yield b'{"id":"' + b"z" * 1_000_000 + b'","inputs":[]}', {}
    yield b"\x00" * 1_000_000, {}


def test_memory_does_not_grow_with_hostile_requests(callers: Callers, supply: Supply) -> None:
    sent = list(hostile())  # once: clients keep what they sent until the collector comes by

    def ask() -> None:
        for content, headers in sent:
            answer = callers.user.post(INFER, content=content, headers=headers)
            assert answer.status_code == 400, (content[:60], answer.text[:300])
            assert len(answer.content) < 2_000, "what was sent is not repeated"

    growths: list[int] = []
    while not growths or (growths[-1] >= GROWTH_MAX and len(growths) < SPELLS_MAX):
        before = peak_bytes()
        for _ in range(ROUNDS):
            ask()
        growths.append(peak_bytes() - before)
    assert growths[-1] < GROWTH_MAX, "what is kept of each round would grow by more in every spell"
    assert callers.user.post(INFER, json=body()).status_code == 200


def test_a_body_that_declares_no_length_is_read_up_to_the_limit_only(callers: Callers, supply: Supply) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    answer = callers.user.post(INFER, content=endless())
    assert answer.status_code == 413, answer.text
    assert callers.user.post(INFER, json=body()).status_code == 200
