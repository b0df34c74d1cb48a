"""Safetensors files as bytes, right and wrong, without the code that is under test."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.federated.updates import Update
from backend.domain.federated.weights import Floats

DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}


def framed(header: object, numbers: bytes = b"", padding: int = 0) -> bytes:
    """A file with this header, JSON unless it is bytes already, and these numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * padding
    return len(text).to_bytes(8, "little") + text + numbers


def entry(start: int, end: int, shape: object, dtype: object = "F32") -> dict[str, Any]:
    """How a header describes one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def file_of(arrays: Mapping[str, NDArray[np.floating]], padding: int = 0) -> bytes:
    """A file that has these arrays one after the other, in the order in which they are given."""
    header: dict[str, object] = {"__metadata__": {"format": "np"}}
    numbers = b""
    for name, array in arrays.items():
        end = len(numbers) + array.nbytes
        header[name] = entry(len(numbers), end, list(array.shape), DTYPES[array.dtype.name])
        numbers += array.tobytes()
    return framed(header, numbers, padding)


def update_of(flat: object, examples: int = 1) -> Update:
    """An update of one tensor `w` of float32."""
    return Update(file_of({"w": np.asarray(flat, np.float32)}), examples)


def updates_of(rows: Floats, examples: list[int] | None = None) -> list[Update]:
    """An update per row."""
    return [update_of(row, count) for row, count in zip(rows, examples or [1] * len(rows), strict=True)]
