"""Files of weights on this machine: mapped where they are read, and written with their SHA-256."""

import hashlib
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path

from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.federated.layout import Layout
from backend.domain.federated.tasks import UPDATE_BYTES_MAX
from backend.domain.federated.weights import Floats, Weights, arrays_file, weights_file


def open_weights(path: Path) -> Weights:
    """The weights in a file, mapped for as long as they are used; raises UpdateRejected, or OSError."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if size == 0:  # which cannot be mapped
            return Weights(b"")
        if size > UPDATE_BYTES_MAX:
            raise UpdateRejected(Fault.TOO_LARGE, f"a file of {size} bytes", f"at most {UPDATE_BYTES_MAX} bytes")
        return Weights(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def write_weights(path: Path, layout: Layout, flat: Floats) -> str:
    """Write flat weights with the names and shapes of `layout`, as float32; returns the file's SHA-256 in hex."""
    return _write(path, weights_file(layout, flat))


def write_arrays(path: Path, arrays: Mapping[str, Floats]) -> str:
    """Write arrays under their names as float32; returns the file's SHA-256 in hex."""
    return _write(path, arrays_file(arrays))


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()
