"""Where child processes write: one file each, bounded, with the end of the one before beside it."""

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

LOG_BYTES_MAX = 10_000_000
LINE_BYTES = 1_000  # that a line has at most, on average, for a tail to be as long as was asked


class Logs:
    """Files `<label>.log` in a folder, and `<label>.log.1` for what came before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, label: str) -> int:
        """A fresh file for a member that starts, as a descriptor that appends; the old one is kept aside."""
        path = self._folder / f"{label}.log"
        with suppress(FileNotFoundError):
            path.replace(self._aside(path))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def keep(self, label: str, lines: Iterable[str]) -> None:
        """Write the last words of a member whose own record is about to go; those of its predecessor stay aside."""
        with os.fdopen(self.open(label), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def tail(self, label: str, lines: int) -> Iterator[str]:
        """The last lines that a member wrote, the oldest first."""
        with suppress(FileNotFoundError), (self._folder / f"{label}.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - lines * LINE_BYTES))
            yield from (line.decode(errors="replace") for line in deque(file.read().splitlines(), lines))

    def trim(self) -> None:
        """Move what is too long aside while its writer goes on: appending, it starts again at the front."""
        for path in self._folder.glob("*.log"):
            with suppress(FileNotFoundError):
                if path.stat().st_size > LOG_BYTES_MAX:
                    shutil.copyfile(path, self._aside(path))
                    os.truncate(path, 0)

    def _aside(self, path: Path) -> Path:
        return path.with_suffix(".log.1")
