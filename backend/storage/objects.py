"""Files by key: model files now, results and checkpoints later. A local folder, or any store that fsspec speaks."""

from pathlib import Path

import fsspec


class ObjectStore:
    """A thin face of one fsspec file system below one root."""

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.url_to_fs(url)

    def put_file(self, path: Path, key: str) -> None:
        """Store a local file; readers see either nothing or the whole of it."""
        target = self._target(key)
        if self._files.exists(target):
            return  # keys name content by its checksum: what is there is the same
        self._files.makedirs(self._files._parent(target), exist_ok=True)
        self._files.put_file(str(path), f"{target}.part")
        self._files.mv(f"{target}.part", target)

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a local file; raises FileNotFoundError."""
        self._files.get_file(self._target(key), str(path))

    def exists(self, key: str) -> bool:
        """Whether an object is there."""
        return bool(self._files.exists(self._target(key)))

    def _target(self, key: str) -> str:
        return f"{self._root}/{key}"
