"""Files by key: models, results, checkpoints. A local folder, or any store that fsspec speaks, such as S3.

Of a store on S3, `s3://bucket/folder`, the endpoint and the credentials are the standard ones: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION. Nothing here holds more than a few chunks in memory.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from backend.storage.store_away import reached

PARTIAL = ".part"
CHUNK_BYTES = 1 << 18
PART_BYTES = 8 << 20  # of one file that goes to S3; 10,000 parts are its limit
PARTS_AT_ONCE = 4
BLOCK_BYTES = 4 << 20  # read ahead from a store that is not a folder
S3_OPTIONS = {
    "use_listings_cache": False,  # other processes write to it as well
    "max_concurrency": PARTS_AT_ONCE,
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 60,
        "retries": {"max_attempts": 3, "mode": "standard"},
    },
}


class ObjectStore:
    """A thin face of one fsspec file system below one root; all raise StoreAway while it cannot be used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_s3 = url.startswith(("s3://", "s3a://"))
        if not url.startswith("file://"):
            self._opened  # noqa: B018  what cannot be spoken to is said at the start

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the root; a folder's when it is first used, since fsspec is slow to import."""
        import fsspec

        files, root = fsspec.url_to_fs(self._url, **(S3_OPTIONS if self._is_s3 else {}))
        return files, root

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    @reached(storing=True)
    def put_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Store a local file; readers see either nothing or the whole of it.

        What is there stays (keys name content by its checksum) unless `replace` says that it is known to be damaged.
        """
        target = self._target(key)
        if not replace and self._files.exists(target):
            return
        if self._is_s3:
            self._files.put_file(str(path), target, chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        else:
            self._whole(target, lambda partial: self._files.put_file(str(path), partial))

    @reached(storing=True)
    def put(self, content: bytes, key: str) -> None:
        """Store a few bytes, in the place of what is there; readers see either the one or the other."""
        target = self._target(key)
        if self._is_s3:
            self._files.pipe_file(target, content)
        else:
            self._whole(target, lambda partial: self._files.pipe_file(partial, content))

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a local file; raises FileNotFoundError."""
        with self._looked_for():
            self._files.get_file(self._target(key), str(path))

    def chunks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """An object, or its bytes from `start` until before `end`, piece by piece; raises FileNotFoundError at once."""
        file = self._open(key)
        return self._pieces(file, start, end)

    @reached()
    def exists(self, key: str) -> bool:
        """Whether an object is there."""
        return bool(self._files.exists(self._target(key)))

    def keys(self) -> Iterator[tuple[str, int]]:
        """Every object and its size in bytes, by key; one that is being stored is none yet."""
        for path, facts in self._listed():
            if not path.endswith(PARTIAL):
                yield path[len(self._root) :].lstrip("/"), int(facts["size"])

    def checksum(self, key: str) -> str:
        """SHA-256 of an object in hex; raises FileNotFoundError."""
        digest = hashlib.sha256()
        for piece in self.chunks(key):
            digest.update(piece)
        return digest.hexdigest()

    @reached()
    def delete(self, key: str) -> None:
        """Drop an object; nothing happens when it is not there."""
        try:
            self._files.rm_file(self._target(key))
        except FileNotFoundError:
            return

    @reached()
    def delete_folder(self, folder: str) -> None:
        """Drop every object whose key begins with `folder`, which ends with a slash."""
        target = self._target(folder.rstrip("/"))
        self._files.invalidate_cache()
        try:
            self._files.rm(target, recursive=True)
        except FileNotFoundError:
            return

    @reached()
    def drop_partials(self, before: datetime) -> int:
        """Remove what processes that were killed left of objects they were storing; returns how much of that there was.

        A store that lets objects appear whole by itself has none.
        """
        if "file" not in self._protocols():
            return 0
        dropped = 0
        for _, _, files in self._files.walk(self._root, detail=True):  # folder by folder: a store may be large
            for facts in files.values():
                if facts["name"].endswith(PARTIAL) and facts["mtime"] < before.timestamp():
                    with suppress(FileNotFoundError):  # another does the same
                        self._files.rm_file(facts["name"])
                        dropped += 1
        return dropped

    def is_here(self) -> bool:
        """Whether this process has the store at all: a folder may be mounted elsewhere only."""
        return "file" not in self._protocols() or Path(self._root).is_dir()

    def is_around(self, path: Path) -> bool:
        """Whether a local path lies in the store itself."""
        return "file" in self._protocols() and path.absolute().is_relative_to(self._root)

    def local_path(self, key: str) -> Path | None:
        """Where an object lies, or would lie, on this machine; None in a store that is no folder."""
        return Path(self._target(key)) if "file" in self._protocols() else None

    def _open(self, key: str) -> Any:
        options = {"block_size": BLOCK_BYTES, "cache_type": "readahead"} if self._is_s3 else {}
        with self._looked_for():
            return self._files.open(self._target(key), "rb", **options)

    @contextmanager
    def _looked_for(self) -> Iterator[None]:
        """One object is not there; where the whole folder is not, as without its disk, nothing can be said of any."""
        with reached():
            try:
                yield
            except FileNotFoundError as error:
                if not self.is_here():
                    raise NotADirectoryError(self._root) from error
                raise

    @reached()
    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        self._files.invalidate_cache()
        return sorted(self._files.find(self._root, detail=True).items())

    @staticmethod
    def _pieces(file: Any, start: int, end: int | None) -> Iterator[bytes]:
        read = reached()(file.read)
        with file:
            file.seek(start)
            left = end - start if end is not None else None
            while chunk := read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
                if left is not None:
                    left -= len(chunk)
                yield chunk

    def _whole(self, target: str, write: Callable[[str], Any]) -> None:
        """Let an object appear under its name only when it is complete, which is how S3 does it by itself."""
        self._files.makedirs(self._files._parent(target), exist_ok=True)
        partial = f"{target}.{uuid4().hex}{PARTIAL}"  # of two that store the same, both write a file of their own
        try:
            write(partial)
            self._files.mv(partial, target)
        except BaseException:
            if self._files.exists(partial):
                self._files.rm_file(partial)
            raise

    def _protocols(self) -> tuple[str, ...]:
        named = self._files.protocol
        return (named,) if isinstance(named, str) else tuple(named)

    def _target(self, key: str) -> str:
        return f"{self._root}/{key}"
