"""A job's files between the object store and this machine: checkpoints that are stored, and what is read back."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from backend.domain.errors import ChecksumMismatch
from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.federated.tasks import WeightsRef, beginning_key
from backend.domain.ids import TrainingJobId
from backend.storage.objects import ObjectStore


def store(objects: ObjectStore, path: Path, key_of: Callable[[str], str]) -> WeightsRef:
    """Store a file under a key made of its SHA-256; the same file again changes nothing."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    key = key_of(sha256)
    objects.put_file(path, key)
    return WeightsRef(key, sha256, path.stat().st_size)


def note_beginning(objects: ObjectStore, job_id: TrainingJobId, ref: WeightsRef) -> None:
    """Write down which weights a job began with; what is there stays."""
    key = beginning_key(job_id)
    if not objects.exists(key):
        objects.put(json.dumps(asdict(ref)).encode(), key)


def beginning(objects: ObjectStore, job_id: TrainingJobId) -> WeightsRef:
    """The weights that a job began with; raises FileNotFoundError before its first round."""
    return WeightsRef(**json.loads(b"".join(objects.chunks(beginning_key(job_id)))))


def fetch(objects: ObjectStore, ref: WeightsRef, path: Path) -> Path:
    """A file of the coordinator's own: at `path`, or where a local store has it. Raises ChecksumMismatch, or
    FileNotFoundError.
    """
    place, found = _brought(objects, ref, path)
    if found != ref.sha256:
        raise ChecksumMismatch(ref.sha256, found)
    return place


def fetch_update(objects: ObjectStore, ref: WeightsRef, path: Path) -> Path:
    """A participant's file, as `fetch`; raises UpdateRejected if it is not the one that was reported, and
    FileNotFoundError only where the whole store is away.
    """
    try:
        place, found = _brought(objects, ref, path)
    except FileNotFoundError:
        if not objects.is_here():
            raise
        raise UpdateRejected(Fault.CHECKSUM_MISMATCH, "there is no such update in the store") from None
    if found != ref.sha256:
        raise UpdateRejected(Fault.CHECKSUM_MISMATCH, f"sha256 {found} found, {ref.sha256} reported")
    return place


def _brought(objects: ObjectStore, ref: WeightsRef, path: Path) -> tuple[Path, str]:
    """Where an object is on this machine now, and its SHA-256; of one of another size than was said, that it is."""
    place = objects.local_path(ref.key)
    if place is not None:
        size = place.stat().st_size
        with place.open("rb") as file:
            return place, _sum(ref, size, hashlib.file_digest(file, "sha256") if size == ref.size_bytes else None)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as target:
        for chunk in objects.chunks(ref.key):
            size += len(chunk)
            if size > ref.size_bytes:
                break
            digest.update(chunk)
            target.write(chunk)
    return path, _sum(ref, size, digest)


def _sum(ref: WeightsRef, size: int, digest: "hashlib._Hash | None") -> str:
    if digest is None or size != ref.size_bytes:
        return f"of {'more' if size > ref.size_bytes else 'fewer'} than {ref.size_bytes} bytes"
    return digest.hexdigest()
