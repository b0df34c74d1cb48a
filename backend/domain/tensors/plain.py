"""Tensor data as JSON writes it: flat or nested lists, row-major."""

import math
from typing import Any

import numpy as np

from backend.domain.errors import InvalidTensor
from backend.domain.tensors.signature import DATATYPES, Array

_KINDS: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "O": frozenset({str}),
    "f": frozenset({int, float}),
    "i": frozenset({int}),
    "u": frozenset({int}),
}
"""What JSON's values of a datatype may be, by numpy's kind of it."""
_FINITE = {name: float(np.finfo(dtype).max) for name, dtype in DATATYPES.items() if dtype.kind == "f"}
FEW = 32  # values that are sooner looked at one by one than by numpy


def from_plain(data: object, datatype: str, shape: tuple[int, ...], field: str) -> Array:
    """The array that `data` writes; raises InvalidTensor."""
    values = flatten(data, shape, field)
    if len(values) != math.prod(shape):
        raise InvalidTensor(
            f"{len(values)} values for shape {list(shape)}",
            field=f"{field}.data",
            accepted=f"{math.prod(shape)} values, flat or nested, row-major",
        )
    return _typed(values, datatype, field).reshape(shape)


def to_plain(array: Array) -> list[Any]:
    """The values flat and row-major; a text that is not UTF-8 is marked where it is not."""
    flat = array.ravel()
    if flat.dtype == object:
        return [x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in flat]
    values: list[Any] = flat.tolist()
    return values


def flatten(data: object, shape: tuple[int, ...], field: str) -> list[Any]:
    """The values in row-major order, from a flat list or from lists nested exactly as the shape says."""
    if not isinstance(data, list):
        raise InvalidTensor("data is a list of values", field=f"{field}.data", accepted="a flat or nested list")
    if not (data and isinstance(data[0], list)):
        return data
    parts: list[Any] = [data]
    for length in shape:
        if not all(isinstance(part, list) and len(part) == length for part in parts):
            raise InvalidTensor(
                "data is not nested as its shape",
                field=f"{field}.data",
                accepted=f"{math.prod(shape)} values, flat or nested, row-major",
            )
        parts = [value for part in parts for value in part]
    return parts


def _typed(values: list[Any], datatype: str, field: str) -> Array:
    """Values as an array of the datatype, refusing what JSON would let slip (booleans as numbers, overflow, NaN)."""
    dtype = DATATYPES[datatype]
    allowed = _KINDS[dtype.kind]
    if not allowed.issuperset(map(type, values)):
        raise InvalidTensor(
            f"a value is not {datatype}",
            field=f"{field}.data",
            accepted=" or ".join(sorted(kind.__name__ for kind in allowed)) + " values",
        )
    if dtype.kind == "O":
        try:
            return np.array([value.encode() for value in values], dtype=object)
        except UnicodeEncodeError:
            raise InvalidTensor("a text is not Unicode", field=f"{field}.data", accepted="whole characters") from None
    if dtype.kind == "f" and len(values) <= FEW and _all_within(values, _FINITE[datatype]):
        return np.array(values, dtype=dtype)
    try:
        with np.errstate(over="raise"):
            array = np.array(values, dtype=dtype)
    except (OverflowError, FloatingPointError):
        array = None
    if array is None or (dtype.kind == "f" and np.count_nonzero(np.isfinite(array)) < array.size):
        raise InvalidTensor(
            f"a value is out of range for {datatype}", field=f"{field}.data", accepted="finite, in range"
        )
    return array


def _all_within(values: list[Any], most: float) -> bool:
    """Whether every value is finite and no larger than `most`; a loop, since a generator takes as long again."""
    for value in values:  # noqa: SIM110  see above
        if not -most <= value <= most:
            return False
    return True
