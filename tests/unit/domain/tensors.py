"""Signatures and protocol bodies for the tensors' tests."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from backend.domain.tensors import DATATYPES, Array, Signature, TensorSpec, parse_request

INTEGERS = [name for name, dtype in DATATYPES.items() if dtype.kind in "iu"]
FLOATS = [name for name, dtype in DATATYPES.items() if dtype.kind == "f"]
LARGEST_FLOAT = {"FP16": 65_504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}


def signature(datatype: str = "FP32", shape: tuple[int, ...] = (-1,)) -> Signature:
    """A model of one input and one output."""
    return Signature((TensorSpec("x", datatype, shape),), (TensorSpec("y", datatype, shape),))


def body(datatype: str = "FP32", shape: object = None, data: object = None) -> dict[str, Any]:
    """A request of one tensor; flat, and of the shape of its data if none is given."""
    data = [1.0] if data is None else data
    shape = [len(data)] if shape is None and isinstance(data, list) else shape
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}


def altered(**changes: object) -> dict[str, Any]:
    """A request of one FP32 tensor of shape [1, 2] with members replaced."""
    return {"inputs": [body("FP32", [1, 2], [1, 2])["inputs"][0] | changes]}


def parsed(datatype: str, shape: list[int], data: object) -> Array:
    """The array that a model gets whose axes are all free."""
    return parse_request(body(datatype, shape, data), signature(datatype, (-1,) * len(shape)))["x"]


def bounds(datatype: str) -> tuple[int, int]:
    """The least and the largest integer of a datatype."""
    info = np.iinfo(DATATYPES[datatype])
    return int(info.min), int(info.max)


def elements(datatype: str) -> st.SearchStrategy[Any]:
    """JSON values of a datatype."""
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(max_size=5)
    if datatype in INTEGERS:
        return st.integers(*bounds(datatype))
    if datatype == "FP16":
        return st.floats(allow_nan=False, allow_infinity=False, width=16)
    return st.floats(allow_nan=False, allow_infinity=False, width=32 if datatype == "FP32" else 64)


def nested(values: list[Any], shape: list[int]) -> Any:
    """Flat values as nested lists of that shape."""
    for axis in reversed(shape[1:]):
        values = [values[start : start + axis] for start in range(0, len(values), axis)]
    return values


shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, list[int], list[Any]]:
    """A datatype, a shape, and values that fit both, flat."""
    datatype, shape = draw(st.sampled_from(list(DATATYPES))), draw(shapes)
    size = int(np.prod(shape))
    return datatype, shape, draw(st.lists(elements(datatype), min_size=size, max_size=size))
