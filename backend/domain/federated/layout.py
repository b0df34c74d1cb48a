"""Which tensors a model's weights are: the header of a safetensors file, read strictly and written.

Weights as a whole are one flat run of numbers, the tensors in order of their names, wherever their file has them.
"""

import json
import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from backend.domain.errors import shown
from backend.domain.federated.faults import Fault, UpdateRejected

LENGTH_BYTES = 8  # of the header, little-endian, before it
HEADER_BYTES_MAX = 4 << 20
HEADERS_KEPT = 4  # that were read last
TENSORS_MAX = 10_000
NAME_CHARS_MAX = 256
DIMENSIONS_MAX = 32
ALIGNED_BYTES = 64  # where the numbers of a file of ours begin: a multiple of this
METADATA = "__metadata__"
_ENTRY = {"dtype", "shape", "data_offsets"}


class DType(Enum):
    """The kinds of numbers that weights may come in, as safetensors names them."""

    F32 = "F32"
    F16 = "F16"

    @property
    def numpy(self) -> np.dtype[Any]:
        """Little-endian, as in every safetensors file."""
        return np.dtype("<f4" if self is DType.F32 else "<f2")


DTYPES = tuple(kind.value for kind in DType)


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """One tensor: its name, what its numbers are, and its shape."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a model in order of their names, which is the order of its flat weights."""

    tensors: tuple[TensorPlace, ...]

    @property
    def size(self) -> int:
        """How many numbers there are in all."""
        return sum(tensor.size for tensor in self.tensors)

    def check_fits(self, other: "Layout") -> None:
        """Raise UpdateRejected unless the other's tensors have the names and shapes of these; either dtype will do."""
        if self is other:
            return
        names, others = [tensor.name for tensor in self.tensors], [tensor.name for tensor in other.tensors]
        if names != others:
            odd = sorted(set(names) ^ set(others))
            raise UpdateRejected(Fault.WRONG_NAMES, f"tensor {shown(odd[0])} is missing or not known")
        for tensor, place in zip(other.tensors, self.tensors, strict=True):
            if tensor.shape != place.shape:
                message = f"tensor {shown(tensor.name)} has shape {shown(list(tensor.shape))}"
                raise UpdateRejected(Fault.WRONG_SHAPE, message, accepted=shown(list(place.shape)))


@dataclass(frozen=True, slots=True)
class Header:
    """A file's tensors, and for each of them the byte of the file at which its numbers begin."""

    layout: Layout
    offsets: tuple[int, ...]


def read_header(data: memoryview) -> Header:
    """The header of a whole safetensors file; raises UpdateRejected.

    Stricter than the format asks: no name twice, no gap, no overlap, not a byte too much or too few, float32 or float16
    only. Numbers are not looked at.
    """
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES:
        raise UpdateRejected(Fault.TRUNCATED, f"a file of {len(data)} bytes is no weights")
    if length > HEADER_BYTES_MAX:
        raise UpdateRejected(Fault.TOO_LARGE, f"a header of {length} bytes", f"at most {HEADER_BYTES_MAX} bytes")
    begin = LENGTH_BYTES + length
    if len(data) < begin:
        raise UpdateRejected(Fault.TRUNCATED, f"{len(data)} bytes, where the header alone ends at {begin}")
    return _read(bytes(data[LENGTH_BYTES:begin]), len(data) - begin)


def write_header(layout: Layout) -> bytes:
    """The bytes before the numbers of a file that has the tensors of `layout` one after the other."""
    said, at = {}, 0
    for tensor in layout.tensors:
        end = at + tensor.size * tensor.dtype.numpy.itemsize
        said[tensor.name] = {"dtype": tensor.dtype.value, "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(said, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNED_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


@lru_cache(maxsize=HEADERS_KEPT)
def _read(text: bytes, size: int) -> Header:
    """The updates of a round all have one header: it is read once, and they share its layout."""
    found = [_place(name, entry) for name, entry in _entries(text).items()]
    _check_tiles([(start, end) for _, start, end in found], size)
    found.sort(key=lambda one: one[0].name)
    begin = LENGTH_BYTES + len(text)
    return Header(Layout(tuple(place for place, _, _ in found)), tuple(begin + start for _, start, _ in found))


def _entries(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise _refused("it does not begin with a brace")
    try:
        header = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise _refused("it is no JSON object, or has a name twice") from None
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refused("its metadata are not texts")
    if not 1 <= len(header) <= TENSORS_MAX:
        raise UpdateRejected(Fault.WRONG_NAMES, f"{len(header)} tensors", f"1 to {TENSORS_MAX}")
    return dict(header)


def _place(name: str, entry: Any) -> tuple[TensorPlace, int, int]:
    if len(name) > NAME_CHARS_MAX or not isinstance(entry, dict) or entry.keys() != _ENTRY:
        raise _refused(f"tensor {shown(name)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in DTYPES:
        raise UpdateRejected(Fault.WRONG_DTYPE, f"tensor {shown(name)} is of {shown(dtype)}", ", ".join(DTYPES))
    if not _are_counts(shape) or len(shape) > DIMENSIONS_MAX:
        raise _refused(f"tensor {shown(name)} has no possible shape")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _refused(f"tensor {shown(name)} has no possible place")
    place = TensorPlace(name, DType(dtype), tuple(shape))
    if offsets[1] - offsets[0] != place.size * place.dtype.numpy.itemsize:
        raise _refused(f"tensor {shown(name)} has another size than its shape")
    return place, offsets[0], offsets[1]


def _check_tiles(places: list[tuple[int, int]], size: int) -> None:
    at = 0
    for start, end in sorted(places):
        if start != at:
            raise _refused("tensors overlap or leave a gap")
        at = end
    if at > size:
        raise UpdateRejected(Fault.TRUNCATED, f"{size} bytes of numbers", f"{at}, as its header says")
    if at < size:
        raise _refused(f"{size - at} bytes follow the last tensor")


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice")
    return made


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refused(why: str) -> UpdateRejected:
    return UpdateRejected(Fault.INVALID_HEADER, f"the header cannot be right: {why}")
