"""One process at a time starts or stops the servers of a data folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.embedded.failure import EmbeddedServerFailed
from backend.embedded.places import LOCK

LOCK_TIMEOUT_S = 120.0  # longer than one start and one stop
POLL_S = 0.02


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the file lock of `folder`, creating both; raises EmbeddedServerFailed after LOCK_TIMEOUT_S.

    The kernel drops the lock with the process, so a crash leaves none behind.
    """
    descriptor = _acquire(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(folder: Path) -> int:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while time.monotonic() < deadline:
        descriptor = _open(folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            if _is_current(descriptor, folder / LOCK):
                return descriptor
            os.close(descriptor)
        time.sleep(POLL_S)
    raise EmbeddedServerFailed(
        "embedded servers",
        f"another process has held {folder / LOCK} for {LOCK_TIMEOUT_S:.0f} s",
        "Wait for it or stop it, then try again",
    )


def _open(folder: Path) -> int:
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Root's servers run as another account, which has to pass through; what is secret inside is 0600.
            folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedServerFailed(
            "embedded servers",
            f"cannot use the data folder: {error}",
            "Choose a folder that this user can write",
        ) from error


def _is_current(descriptor: int, path: Path) -> bool:
    """False if the lock file was deleted (and perhaps made anew) while we waited for it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
