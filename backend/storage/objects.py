"""Files by key: model files now, results and checkpoints later. A local folder, or any store that fsspec speaks."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import fsspec

PARTIAL = ".part"
CHUNK_BYTES = 1 << 18


class ObjectStore:
    """A thin face of one fsspec file system below one root."""

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.url_to_fs(url)

    def put_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Store a local file; readers see either nothing or the whole of it.

        What is there stays (keys name content by its checksum) unless `replace` says that it is known to be damaged.
        """
        target = self._target(key)
        if not replace and self._files.exists(target):
            return
        self._files.makedirs(self._files._parent(target), exist_ok=True)
        self._files.put_file(str(path), f"{target}{PARTIAL}")
        self._files.mv(f"{target}{PARTIAL}", target)

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a local file; raises FileNotFoundError."""
        self._files.get_file(self._target(key), str(path))

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object piece by piece; raises FileNotFoundError at the first one."""
        with self._files.open(self._target(key), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def exists(self, key: str) -> bool:
        """Whether an object is there."""
        return bool(self._files.exists(self._target(key)))

    def keys(self) -> Iterator[tuple[str, int]]:
        """Every object and its size in bytes, by key; one that is being stored is none yet."""
        self._files.invalidate_cache()
        for path, facts in sorted(self._files.find(self._root, detail=True).items()):
            if not path.endswith(PARTIAL):
                yield path[len(self._root) :].lstrip("/"), int(facts["size"])

    def checksum(self, key: str) -> str:
        """SHA-256 of an object in hex; raises FileNotFoundError."""
        with self._files.open(self._target(key), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_around(self, path: Path) -> bool:
        """Whether a local path lies in the store itself."""
        return "file" in self._protocols() and path.absolute().is_relative_to(self._root)

    def _protocols(self) -> tuple[str, ...]:
        named = self._files.protocol
        return (named,) if isinstance(named, str) else tuple(named)

    def _target(self, key: str) -> str:
        return f"{self._root}/{key}"
