"""Temporary files of this process: room is asked for before the first byte is written, and given back with the last.

A disk that fills up takes everything on the machine along: whoever comes too much waits.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from backend.domain.errors import Unavailable

RESERVE_BYTES = 256 << 20  # of the disk, for everybody else on it


class DiskFull(Unavailable):
    """The temporary disk has no room for a file of this size at the moment."""

    code = "temporary_disk_full"


class _Booked:
    lock = Lock()
    size_bytes = 0  # promised to the blocks that are open, however much of it they have written


@contextmanager
def folder(size_bytes: int) -> Iterator[Path]:
    """An empty folder for files of so many bytes, which goes with the block; raises DiskFull before it is made."""
    with _Booked.lock:
        free = shutil.disk_usage(tempfile.gettempdir()).free - RESERVE_BYTES - _Booked.size_bytes
        if size_bytes > free:
            raise DiskFull("the temporary disk is full", accepted="try again when other uploads are through")
        _Booked.size_bytes += size_bytes
    try:
        with tempfile.TemporaryDirectory(prefix="swarmex-upload-") as made:
            yield Path(made)
    finally:
        with _Booked.lock:
            _Booked.size_bytes -= size_bytes
