"""Model files on the node's disk, fetched by checksum from a peer or the object store; processes may share a folder."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import structlog

from agents.checksums import sha256_of
from agents.engines.base import ModelUnusable, NothingRun
from backend.domain.errors import ChecksumMismatch
from backend.domain.work import ModelRef

MODEL_BYTES_MAX = 4 << 30
CACHE_BYTES_MAX = 20 << 30
STALE_S = 3600.0  # a partial file so old was left behind by a process that died

log = structlog.get_logger(__name__)


class ModelNotFetched(NothingRun):
    """The object store does not answer, or the node's disk takes nothing; the log says which."""

    code = "model_not_fetched"


class ObjectSource(Protocol):
    """Where model files come from."""

    def get_file(self, key: str, path: Path) -> None:
        """Write the object `key` to `path`; raises FileNotFoundError when there is none, anything when it is away."""
        ...


class PeerSource(Protocol):
    """Who else may have model files."""

    def fetch(self, model: ModelRef, path: Path, bytes_max: int) -> bool:
        """Whether `path` now holds the verified file of `model`; never raises for what peers do."""
        ...


@dataclass(slots=True)
class Fetches:
    """Where files came from since the start."""

    from_store: int = 0
    from_peers: int = 0


class ModelCache:
    """A folder of files named by their sha256. A file appears under its name only complete and verified."""

    def __init__(self, folder: Path, objects: ObjectSource, peers: PeerSource | None = None) -> None:
        self._folder = folder
        self._objects = objects
        self._peers = peers
        self.fetches = Fetches()
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_stale()

    def path_of(self, model: ModelRef) -> Path:
        """The verified file of `model`, fetched if it is not here.

        Raises ChecksumMismatch when the store's file is not the registered one, ModelUnusable when it has
        none or one above MODEL_BYTES_MAX, ModelNotFetched while it cannot be had. The sum is computed at every call: a
        disk may change a file.
        """
        try:
            return self._sound(model)
        except (ChecksumMismatch, ModelUnusable):
            raise
        except Exception as error:  # each kind of store and of disk raises its own
            log.warning("model.not_fetched", model_id=str(model.model_id), uri=model.uri, error=repr(error))
            raise ModelNotFetched("the model's file cannot be fetched", accepted="try again in a moment") from error

    def file_of(self, checksum: str) -> Path | None:
        """The file of that checksum if it is here, as it is: whoever gets it verifies it."""
        path = self._folder / f"{checksum}.onnx"
        return path if path.is_file() else None

    def _sound(self, model: ModelRef) -> Path:
        path = self._folder / f"{model.checksum}.onnx"
        try:
            if sha256_of(path) == model.checksum:
                with suppress(PermissionError):  # a file that another user fetched is as good, and only looks older
                    os.utime(path)
                return path
            log.warning("model.cached_file_damaged", model_id=str(model.model_id), checksum=model.checksum)
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        self._fetch(model, path)
        self._make_room(keep=path)
        return path

    def _fetch(self, model: ModelRef, path: Path) -> None:
        partial = self._folder / f"{uuid4().hex}.partial"
        try:
            from_peer = self._peers is not None and self._peers.fetch(model, partial, MODEL_BYTES_MAX)
            if not from_peer:
                self._fetch_from_store(model, partial)
            size = partial.stat().st_size
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self.fetches.from_peers += from_peer
        self.fetches.from_store += not from_peer
        source = "peer" if from_peer else "store"
        log.info("model.fetched", model_id=str(model.model_id), checksum=model.checksum, bytes=size, source=source)

    def _fetch_from_store(self, model: ModelRef, partial: Path) -> None:
        try:
            self._objects.get_file(model.uri, partial)
            size = partial.stat().st_size
            if size > MODEL_BYTES_MAX:
                raise ModelUnusable(f"file of {size} bytes", accepted=f"at most {MODEL_BYTES_MAX} bytes")
            found = sha256_of(partial)
        except FileNotFoundError as error:
            raise ModelUnusable(f"no file {model.uri} in the object store") from error
        if found != model.checksum:
            log.error("model.refused", model_id=str(model.model_id), expected=model.checksum, found=found)
            raise ChecksumMismatch(model.checksum, found)

    def _make_room(self, keep: Path) -> None:
        """Remove the files used longest ago until the folder is within CACHE_BYTES_MAX."""
        files = []
        for path in self._folder.glob("*.onnx"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= CACHE_BYTES_MAX:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size

    def _remove_stale(self) -> None:
        for path in self._folder.glob("*.partial"):
            try:
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
