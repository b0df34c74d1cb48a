"""Temporary folders that go with their block; those of processes that were killed go with the next process's first.

A folder is locked as long as its process lives, so that an unlocked one is nobody's any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import time

PREFIX = "swarmex-work-"
ORPHAN_AGE_S = 60  # of an unlocked folder: whoever has just made one is about to lock it


class _Swept:
    lock = Lock()
    done = False  # once a process: what others leave behind later, later ones remove


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder that nobody else may read, removed with all that is in it at the end of the block."""
    _sweep_once()
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    with _locked(made):
        try:
            yield made
        finally:
            shutil.rmtree(made)


def sweep() -> int:
    """Remove the folders that killed processes of this user left behind; returns how many."""
    return sum(_remove_orphan(path) for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def _sweep_once() -> None:
    with _Swept.lock:
        if not _Swept.done:
            _Swept.done = True
            sweep()


def _remove_orphan(path: Path) -> bool:
    try:
        found = path.lstat()
        if found.st_uid != os.getuid() or time() - found.st_mtime < ORPHAN_AGE_S:
            return False
        with _locked(path):
            shutil.rmtree(path, ignore_errors=True)
            return True
    except OSError:  # it is in use, gone by now, or no folder
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
