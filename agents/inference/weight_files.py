"""Weights on an executor's disk: what training begins with, by checksum, so that a round's participants fetch it once.

Processes may share a folder. A file appears under its name only complete and verified, and the ones used longest ago
make room.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import structlog

from agents.checksums import sha256_of
from backend.domain.errors import ChecksumMismatch, Invalid
from backend.domain.federated.tasks import UPDATE_BYTES_MAX, WeightsRef

CACHE_BYTES_MAX = 4 << 30
VERIFIED_MAX = 64  # files whose sums are remembered
STALE_S = 86_400.0  # longer than any fit: a partial file so old was left behind by a process that died
PARTIAL = ".partial"

log = structlog.get_logger(__name__)


class WeightFiles:
    """A folder of safetensors files; for one thread of each process."""

    def __init__(self, folder: Path, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._verified: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_stale()

    def path_of(self, weights: WeightsRef, fetch: Callable[[Path], None]) -> Path:
        """The verified file of `weights`, which `fetch` writes if it is not here; raises what that raises.

        Raises ChecksumMismatch for another file than the one that was announced, Invalid(`weights_too_large`) before
        anything is fetched. The sum of a file that has not changed is computed once.
        """
        if weights.size_bytes > UPDATE_BYTES_MAX:
            message, accepted = f"weights of {weights.size_bytes} bytes", f"at most {UPDATE_BYTES_MAX} bytes"
            raise Invalid(message, code="weights_too_large", field="weights", accepted=accepted)
        path = self._folder / f"{weights.sha256}.safetensors"
        if not self._is_sound(path, weights):
            self._fetch(weights, path, fetch)
            self._make_room(keep=path)
        with suppress(PermissionError, FileNotFoundError):  # another user's file is as good, and only looks older
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A name in the folder for a file that goes with the block."""
        path = self._folder / f"{uuid4().hex}{PARTIAL}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _is_sound(self, path: Path, weights: WeightsRef) -> bool:
        try:
            state = _state(path)
        except FileNotFoundError:
            return False
        if self._verified.get(weights.sha256) == state:
            return True
        if sha256_of(path) == weights.sha256:
            self._remember(weights.sha256, state)
            return True
        log.warning("weights.cached_file_damaged", sha256=weights.sha256)
        path.unlink(missing_ok=True)
        return False

    def _fetch(self, weights: WeightsRef, path: Path, fetch: Callable[[Path], None]) -> None:
        started = time.monotonic()
        with self.scratch() as partial:
            fetch(partial)
            found = sha256_of(partial)
            if found != weights.sha256:
                log.error("weights.refused", expected=weights.sha256, found=found)
                raise ChecksumMismatch(weights.sha256, found)
            partial.replace(path)
        self._remember(weights.sha256, _state(path))
        seconds = round(time.monotonic() - started, 4)
        log.info("weights.fetched", sha256=weights.sha256, bytes=path.stat().st_size, seconds=seconds)

    def _remember(self, sha256: str, state: tuple[int, int, int]) -> None:
        self._verified[sha256] = state
        self._verified.move_to_end(sha256)
        while len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)

    def _make_room(self, keep: Path) -> None:
        """Remove the files used longest ago until the folder is within its bound."""
        files = []
        for path in self._folder.glob("*.safetensors"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_atime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._bytes_max:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size

    def _remove_stale(self) -> None:
        for path in self._folder.glob(f"*{PARTIAL}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink(missing_ok=True)


def _state(path: Path) -> tuple[int, int, int]:
    """What differs once a file is another, or has been written to; its time of use does not."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
