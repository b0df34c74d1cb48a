"""One manager per data folder: a lock that the kernel gives back when its holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path

from backend.domain.errors import Unavailable

WAIT_S = 5.0  # a predecessor that is being replaced may need a moment
POLL_S = 0.1


class ManagerLock:
    """Held until released or until the process ends; children do not inherit it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "manager.lock"
        self._file: int | None = None

    def take(self, wait_s: float = WAIT_S) -> None:
        """Take the lock; raises Unavailable if another manager keeps it for `wait_s`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    raise Unavailable(
                        f"another manager works in {self._path.parent}",
                        code="manager_running",
                        field="SWARMEX_DATA_FOLDER",
                        accepted="one manager per data folder",
                    ) from None
                time.sleep(POLL_S)

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
