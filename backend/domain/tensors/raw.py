"""Tensor data as the protocol's binary extension writes it: raw buffers, little-endian and row-major.

An element of BYTES is preceded by its length in 4 bytes. What such an element holds must be UTF-8, as in JSON:
models take text, and there would be no other way to hand it to them.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from backend.domain.errors import InvalidTensor
from backend.domain.tensors.plain import from_plain
from backend.domain.tensors.signature import DATATYPES, Array

_LENGTH = struct.Struct("<I")


def raw_size(datatype: str, shape: tuple[int, ...]) -> int | None:
    """How many bytes a tensor has; None for BYTES, whose elements have any length."""
    return None if datatype == "BYTES" else math.prod(shape) * DATATYPES[datatype].itemsize


def require_size(buffer: memoryview, datatype: str, shape: tuple[int, ...], field: str) -> None:
    """Raise InvalidTensor unless a buffer of numbers has the size of its shape; their values may be any."""
    size = raw_size(datatype, shape)
    if len(buffer) != size:
        raise InvalidTensor(
            f"{len(buffer)} bytes for {datatype} of shape {list(shape)}",
            field=f"{field}.parameters.binary_data_size",
            accepted=f"{size} bytes",
        )


def numbers(buffer: memoryview, datatype: str, shape: tuple[int, ...]) -> Array:
    """The array over `buffer`, which has its size: no copy unless memory is not aligned. In BOOL, all but 0 is true."""
    dtype = DATATYPES[datatype]
    if dtype.kind == "b":
        return np.not_equal(np.frombuffer(buffer, np.uint8), 0).reshape(shape)
    flat = np.frombuffer(buffer, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return np.require(flat, requirements="A").reshape(shape)


def texts(buffer: memoryview, shape: tuple[int, ...], field: str) -> Array:
    """The array of byte strings, each UTF-8; raises InvalidTensor. Its time and memory grow with the buffer only."""
    count = math.prod(shape)
    found: list[bytes] = []
    offset, end = 0, len(buffer)
    while offset < end and len(found) < count:
        start = offset + _LENGTH.size
        offset = start + _LENGTH.unpack_from(buffer, offset)[0] if start <= end else end + 1
        if offset > end:
            raise _not_texts("a BYTES element is cut off", count, field)
        found.append(bytes(buffer[start:offset]))
    if offset != end or len(found) != count:
        raise _not_texts(f"{len(found)} BYTES elements do not fill {end} bytes", count, field)
    try:
        for text in found:
            text.decode()
    except UnicodeDecodeError:
        raise InvalidTensor("a text is not Unicode", field=f"{field}.data", accepted="UTF-8") from None
    array = np.empty(count, object)
    array[:] = found
    return array.reshape(shape)


def encode(array: Array, datatype: str) -> memoryview:
    """The array's buffer; without a copy where its memory is in order already."""
    if datatype == "BYTES":
        return _lengths_and(text if isinstance(text, bytes) else str(text).encode() for text in array.ravel())
    flat = np.ascontiguousarray(array, DATATYPES[datatype].newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).data


def raw_of_plain(values: list[Any], datatype: str, field: str) -> memoryview:
    """The buffer of values in Python's types, checked as those of JSON are but that BYTES are byte strings."""
    if datatype != "BYTES":
        return encode(from_plain(values, datatype, (len(values),), field), datatype)
    return _lengths_and(values)


def as_texts(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays with their byte strings as Python texts, for an engine that knows no other."""
    return {name: _decoded(array) if array.dtype == object else array for name, array in arrays.items()}


def _decoded(array: Array) -> Array:
    texts = np.empty(array.size, object)
    texts[:] = [text.decode() if isinstance(text, bytes) else text for text in array.ravel()]
    return texts.reshape(array.shape)


def _not_texts(message: str, count: int, field: str) -> InvalidTensor:
    return InvalidTensor(
        message,
        field=f"{field}.parameters.binary_data_size",
        accepted=f"{count} times a length in 4 bytes, little-endian, and so many bytes",
    )


def _lengths_and(texts: Iterable[bytes]) -> memoryview:
    return memoryview(b"".join(piece for text in texts for piece in (_LENGTH.pack(len(text)), text)))
