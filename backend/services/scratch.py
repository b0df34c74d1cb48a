"""Temporary files of this process: room is asked for before the first byte is written, and given back with the last.

A disk that fills up takes everything on the machine along: whoever comes too much waits.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import ClassVar

from backend.domain.errors import Unavailable
from backend.storage import temporary

RESERVE_BYTES = 256 << 20  # of the disk, for everybody else on it; of a small one, as containers have, a part
RESERVE_PARTS = 4
OWNER_BYTES_MAX = 512 << 20  # promised to one account or node at once: who sends slowly keeps room from nobody


class DiskFull(Unavailable):
    """The temporary disk has no room for a file of this size at the moment."""

    code = "temporary_disk_full"


class _Booked:
    lock = Lock()
    size_bytes = 0  # promised to the blocks that are open, however much of it they have written
    owners: ClassVar[Counter[str]] = Counter()  # the same by whom it was promised to


@contextmanager
def folder(size_bytes: int, owner: str) -> Iterator[Path]:
    """An empty folder for files of so many bytes, which goes with the block; raises DiskFull before it is made.

    Who has OWNER_BYTES_MAX under way waits for their own; one file may be larger than that.
    """
    with _Booked.lock:
        disk = shutil.disk_usage(tempfile.gettempdir())
        free = disk.free - min(RESERVE_BYTES, disk.total // RESERVE_PARTS) - _Booked.size_bytes
        if size_bytes > free:
            raise DiskFull("the temporary disk is full", accepted="try again when other uploads are through")
        if _Booked.owners[owner] and _Booked.owners[owner] + size_bytes > OWNER_BYTES_MAX:
            raise DiskFull(
                "you are uploading too much at once", accepted="try again when your other uploads are through"
            )
        _Booked.size_bytes += size_bytes
        _Booked.owners[owner] += size_bytes
    try:
        with temporary.folder() as made:
            yield made
    finally:
        with _Booked.lock:
            _Booked.size_bytes -= size_bytes
            _Booked.owners[owner] -= size_bytes
            if not _Booked.owners[owner]:
                del _Booked.owners[owner]
