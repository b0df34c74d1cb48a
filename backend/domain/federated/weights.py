"""Weights in the bytes of a safetensors file, read a block of columns at a time where they lie; and such bytes made.

Nothing is copied that need not be: of a file that is mapped, not loaded, any number can be open at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.federated.layout import DType, Layout, TensorPlace, read_header, write_header
from backend.domain.federated.tasks import UPDATE_BYTES_MAX

# Numbers read or written at once, unless a rule asks for another block. OpenBLAS wakes other threads for vectors
# above 10,000, and waiting for them costs more than it gains where cores are busy (measured: up to six times as long).
COLUMNS = 9_984

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Span:
    """Numbers that lie in the file as they do in the flat weights: of which columns, and where."""

    start: int
    stop: int
    numbers: NDArray[np.floating]


class Weights:
    """Weights in the bytes of a safetensors file; raises UpdateRejected if its header is not as it should be."""

    def __init__(self, data: bytes | memoryview) -> None:
        data = memoryview(data).cast("B")
        if len(data) > UPDATE_BYTES_MAX:
            raise UpdateRejected(Fault.TOO_LARGE, f"a file of {len(data)} bytes", f"at most {UPDATE_BYTES_MAX} bytes")
        header = read_header(data)
        self.layout = header.layout
        self.size = header.layout.size
        self._spans = list(_spans(data, header.layout, header.offsets))
        alone = self._spans[0].numbers if len(self._spans) == 1 else None
        self.plain = alone if alone is not None and _is_plain(alone) else None
        """All of them, where the file has them as they are to be: float32, aligned, in order."""

    def block(self, start: int, stop: int, scratch: Floats) -> Floats:
        """Columns from `start` to `stop` as float32: a view of the file where that is possible, else in `scratch`.

        To be read only; `scratch` has room for them.
        """
        if self.plain is not None:
            return self.plain[start:stop]
        block = scratch[: stop - start]
        for span in self._spans:
            low, high = max(start, span.start), min(stop, span.stop)
            if low < high:
                block[low - start : high - start] = span.numbers[low - span.start : high - span.start]
        return block

    def flat(self) -> Floats:
        """All of them as float32; to be read only: a view of the file where that is possible."""
        if self.plain is not None:
            return self.plain
        return self.block(0, self.size, np.empty(self.size, np.float32))

    def arrays(self) -> dict[str, Floats]:
        """Every tensor by its name, in the layout's order, as float32 and in its shape; to be read only."""
        flat, at, made = self.flat(), 0, {}
        for tensor in self.layout.tensors:
            made[tensor.name] = flat[at : at + tensor.size].reshape(tensor.shape)
            at += tensor.size
        return made


def weights_file(layout: Layout, flat: Floats) -> Iterator[bytes | memoryview]:
    """The bytes, piece by piece, of a file of flat weights with the names and shapes of `layout`, as float32."""
    assert flat.shape == (layout.size,)
    yield write_header(Layout(tuple(TensorPlace(tensor.name, DType.F32, tensor.shape) for tensor in layout.tensors)))
    yield from _pieces(flat)


def arrays_file(arrays: Mapping[str, Floats]) -> Iterator[bytes | memoryview]:
    """The bytes, piece by piece, of a file of arrays under their names, as float32."""
    named = sorted(arrays.items())
    yield write_header(Layout(tuple(TensorPlace(name, DType.F32, array.shape) for name, array in named)))
    for _, array in named:
        yield from _pieces(array.reshape(-1))


def columns(size: int, width: int = COLUMNS) -> Iterator[tuple[int, int]]:
    """From and to of each block of at most `width` columns."""
    for start in range(0, size, width):
        yield start, min(start + width, size)


def _pieces(flat: Floats) -> Iterator[memoryview]:
    for start, stop in columns(flat.size):
        yield np.ascontiguousarray(flat[start:stop], DType.F32.numpy).data


def _spans(data: memoryview, layout: Layout, offsets: tuple[int, ...]) -> Iterator[_Span]:
    """The fewest runs of numbers; neighbours in the layout that are neighbours in the file are one."""
    start = stop = 0
    began = ended = 0  # the bytes of the run so far
    dtype = layout.tensors[0].dtype
    for tensor, offset in zip(layout.tensors, offsets, strict=True):
        if start < stop and (tensor.dtype is not dtype or offset != ended):
            yield _Span(start, stop, np.frombuffer(data, dtype.numpy, stop - start, began))
            start = stop
        if start == stop:
            began, dtype = offset, tensor.dtype
        stop += tensor.size
        ended = offset + tensor.size * tensor.dtype.numpy.itemsize
    if start < stop:
        yield _Span(start, stop, np.frombuffer(data, dtype.numpy, stop - start, began))


def _is_plain(numbers: NDArray[np.floating]) -> bool:
    return numbers.dtype == np.float32 and numbers.flags.aligned
