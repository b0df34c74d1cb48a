"""A backup on disk: `database.dump`, `objects/`, and `manifest.json`, which is written last: without it, it is none."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.domain.backups import BackupDamaged, Damage, Kept
from backend.domain.errors import Invalid, Unavailable

OWNER_ONLY = 0o700  # a backup holds everybody's data
CHUNK_BYTES = 1024 * 1024

Read = Callable[[int], None]  # is told of every chunk: how many bytes


class BackupFolder:
    """The places in one folder, and what is done with files there."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.dump = self.path / "database.dump"
        self.objects = self.path / "objects"
        self.manifest = self.path / "manifest.json"

    @contextmanager
    def making(self) -> Iterator[None]:
        """A folder made anew, or one that is empty; what was written is deleted unless the block succeeds.

        Raises Invalid(`folder_not_empty`), Unavailable(`folder_not_writable`).
        """
        fresh = not self.path.exists()
        with _writing(self.path):
            self.path.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
            if any(self.path.iterdir()):
                raise _not_empty(self.path)
            try:
                self.objects.mkdir(mode=OWNER_ONLY)  # of two that come at once, one gets it
            except FileExistsError:
                raise _not_empty(self.path) from None
        try:
            with _copying():
                yield
        except BaseException:
            self._discard(whole=fresh)
            raise

    def object(self, key: str) -> Path:
        """Where an object's copy is."""
        return self.objects / key

    def seal(self, manifest: str) -> None:
        """Make all that was written durable, then say that it is complete."""
        for path in self.path.rglob("*"):
            _flush(path)
        partial = self.manifest.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(manifest)
        _flush(partial)
        partial.rename(self.manifest)
        _flush(self.path)
        _flush(self.path.parent)

    def read(self) -> bytes:
        """The manifest; raises Invalid(`no_backup`), BackupDamaged(`incomplete_backup`)."""
        try:
            return self.manifest.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if self.dump.exists() or self.objects.exists():
                told = f"{self.path} has no manifest: the backup was cut short"
                raise BackupDamaged("incomplete_backup", told) from None
            raise Invalid(
                f"there is no backup in {self.path}",
                code="no_backup",
                field="folder",
                accepted="a folder that `swarmex backup` made",
            ) from None

    def _discard(self, *, whole: bool) -> None:
        shutil.rmtree(self.objects, ignore_errors=True)
        for path in (self.dump, self.manifest, self.manifest.with_suffix(".partial")):
            path.unlink(missing_ok=True)
        if whole:
            self.path.rmdir()


def kept(path: Path, read: Read = lambda _: None) -> Kept:
    """Checksum and size of a file; raises FileNotFoundError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            read(len(chunk))
    return Kept(digest.hexdigest(), size)


def damage(code: str, name: str, path: Path, expected: Kept, read: Read) -> Damage | None:
    """What is wrong with a file, if it is not what was kept: `file_missing`, or `code`."""
    try:
        found = kept(path, read)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return Damage("file_missing" if missing else code, f"{name}: {error.strerror}")
    if found == expected:
        return None
    if found.size_bytes != expected.size_bytes:
        return Damage(code, f"{name} has {found.size_bytes} bytes, {expected.size_bytes} were written")
    return Damage(code, f"{name} has sha256 {found.sha256}, {expected.sha256} was written")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{error.filename or path} cannot be written: {error.strerror or error}",
            code="folder_not_writable",
            field="folder",
            accepted="a folder that you may write",
        ) from error


@contextmanager
def _copying() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"copying failed: {error}",
            code="copy_failed",
            field="folder",
            accepted="room on the disk, and an object store that answers",
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_empty(path: Path) -> Invalid:
    return Invalid(
        f"{path} is not empty", code="folder_not_empty", field="folder", accepted="a folder that is not there yet"
    )
