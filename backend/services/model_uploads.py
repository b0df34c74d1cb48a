"""Model files that come in chunks: begun, gone on with after an interruption, completed, given up, expired.

Chunks are objects of the store until the file is whole: any API process can take any chunk.
"""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from backend.domain.access import Principal
from backend.domain.errors import ChecksumMismatch, Conflict, Forbidden, Invalid, NotFound
from backend.domain.ids import UploadId
from backend.domain.uploads import KEPT, Upload, check_digest, check_room, check_wish
from backend.services import scratch
from backend.services.log import record
from backend.services.model_inspection import inspect_apart
from backend.services.models import register_model, require_owner
from backend.storage.ids import new_id
from backend.storage.model_uploads import Chunk
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

EXPIRE_MAX = 20


def begin_upload(
    uow: UnitOfWork, now: datetime, principal: Principal, name: str, size_bytes: int, sha256: str
) -> Upload:
    """An upload of a file: the one that the caller has begun already, or a new one.

    Raises Invalid, Forbidden for somebody else's name, Conflict(`model_registered`, `model_deleted`,
    `upload_of_other_size`, `too_many_uploads`).
    """
    check_wish(name, size_bytes, sha256)
    with uow:
        _check_name(uow, principal, name, sha256)
        mine = uow.model_uploads.lock_open(principal.account_id)
        for upload in mine:
            if (upload.name, upload.sha256) == (name, sha256):
                if upload.size_bytes != size_bytes:
                    raise Conflict(
                        f"this file was begun with {upload.size_bytes} bytes",
                        code="upload_of_other_size",
                        field="size_bytes",
                        accepted=f"{upload.size_bytes}, or delete upload {upload.id}",
                    )
                return upload
        check_room(len(mine), sum(upload.size_bytes for upload in mine), size_bytes)
        upload = Upload(
            UploadId(new_id()), principal.account_id, name, size_bytes, sha256, 0, 0, now, expires_at=now + KEPT
        )
        uow.model_uploads.add(upload)
        facts = {"name": name, "size_bytes": size_bytes, "sha256": sha256}
        record(uow, now, principal, "upload.begin", f"upload {upload.id}", **facts)
        uow.commit()
    return upload


def show_upload(uow: UnitOfWork, principal: Principal, upload_id: UploadId) -> Upload:
    """How far an upload of the caller's is; raises NotFound."""
    with uow:
        return _own(uow, principal, upload_id)


def put_chunk(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    objects: ObjectStore,
    upload_id: UploadId,
    offset: int,
    body: bytes,
    digest: str | None,
) -> Upload:
    """Take the chunk that begins at `offset`; the same one again changes nothing.

    Raises NotFound, Invalid(`digest_mismatch`), TooLarge, and Conflict(`wrong_offset`) whose `accepted` is the offset
    to go on from.
    """
    with uow:
        upload = _own(uow, principal, upload_id)
        repeated = _is_repeated(uow, upload, offset, check_digest(body, digest))
    if repeated:
        return upload
    upload.check_fits(len(body))
    chunk = Chunk(offset, len(body), hashlib.sha256(body).hexdigest())
    key = chunk.key(upload.folder)
    objects.put(body, key)
    try:
        return _take(uow, now, principal, upload_id, chunk)
    except (NotFound, Conflict):  # meanwhile it was given up, or another chunk came for the same place
        objects.delete(key)
        raise


def complete_upload(
    uow: UnitOfWork, now: datetime, principal: Principal, objects: ObjectStore, upload_id: UploadId
) -> Model:
    """Register the file that has come: its checksum is compared and it is opened first. One that is wrong is dropped.

    Raises NotFound, Conflict(`upload_incomplete`, `chunks_lost`, and `upload_completing` while another call is at
    it), ChecksumMismatch, Invalid(`invalid_model_file`); DiskFull, after which it may be completed later.
    """
    with uow:
        upload = _own(uow, principal, upload_id, for_update=True)
        upload.check_whole()
        upload.check_idle(now)
        claimed_until = now + upload.completed_within
        uow.model_uploads.claim(upload_id, claimed_until)
        uow.commit()
    try:
        model = _register(uow, now, principal, objects, upload)
    except BaseException:
        with uow:
            uow.model_uploads.let_go(upload_id, claimed_until)
            uow.commit()
        raise
    with uow:
        uow.model_uploads.lapse(upload_id, now)
        uow.commit()
    _forget(uow, objects, upload)
    return model


def _register(uow: UnitOfWork, now: datetime, principal: Principal, objects: ObjectStore, upload: Upload) -> Model:
    with uow:
        chunks = uow.model_uploads.chunks(upload.id)
    with scratch.folder(upload.size_bytes, str(principal.account_id)) as folder:
        path = folder / "model.onnx"
        try:
            found = _join(objects, upload, chunks, path)
            if found != upload.sha256:
                raise ChecksumMismatch(upload.sha256, found)
            return register_model(uow, now, objects, upload.name, path, principal, inspect_apart)
        except FileNotFoundError as error:
            show_upload(uow, principal, upload.id)  # raises when somebody else has completed it meanwhile
            _drop(uow, now, principal, objects, upload, "upload.lose")
            raise Conflict(
                "chunks are lost", code="chunks_lost", field="upload", accepted="a new upload of the same file"
            ) from error
        except (ChecksumMismatch, Invalid, Conflict, Forbidden):
            _drop(uow, now, principal, objects, upload, "upload.refuse")
            raise


def abandon_upload(
    uow: UnitOfWork, now: datetime, principal: Principal, objects: ObjectStore, upload_id: UploadId
) -> None:
    """Give an upload up: nothing of it is kept. Raises NotFound."""
    with uow:
        upload = _own(uow, principal, upload_id)
    _drop(uow, now, principal, objects, upload, "upload.abandon")


def expire_uploads(uow: UnitOfWork, now: datetime, objects: ObjectStore, limit: int = EXPIRE_MAX) -> int:
    """Drop uploads that nobody went on with for KEPT; returns how many. One that has no access to the store does none.

    Chunks go first: should that fail, the upload is there to be tried again.
    """
    if not objects.is_here():
        return 0
    with uow:
        expired = uow.model_uploads.expired(now, limit)
        for upload in expired:
            objects.delete_folder(upload.folder)
            facts = {"name": upload.name, "received_bytes": upload.received_bytes}
            record(uow, now, None, "upload.expire", f"upload {upload.id}", **facts)
        uow.model_uploads.forget([upload.id for upload in expired])
        uow.commit()
    return len(expired)


def _check_name(uow: UnitOfWork, principal: Principal, name: str, sha256: str) -> None:
    """Refuse what would be refused at the end, before gigabytes are sent."""
    versions = uow.models.versions([name], deleted=True).get(name, {})
    require_owner(principal, versions, name)
    for model in versions.values():
        if model.ref.checksum == sha256:
            deleted = model.deleted_at is not None
            raise Conflict(
                f"this file is version {model.ref.version} of {name}{', which was deleted' if deleted else ''}",
                code="model_deleted" if deleted else "model_registered",
                field="sha256",
                accepted=f"restore version {model.ref.version}" if deleted else "another file",
            )


def _own(uow: UnitOfWork, principal: Principal, upload_id: UploadId, *, for_update: bool = False) -> Upload:
    upload = uow.model_uploads.find(upload_id, for_update=for_update)
    if upload is None:
        raise NotFound("upload", upload_id)
    principal.require_owner(upload.account_id, "upload", upload_id)
    return upload


def _take(uow: UnitOfWork, now: datetime, principal: Principal, upload_id: UploadId, chunk: Chunk) -> Upload:
    """Count a chunk that is in the store; when two send the same one at once, it counts once."""
    with uow:
        upload = _own(uow, principal, upload_id, for_update=True)
        if _is_repeated(uow, upload, chunk.start_byte, chunk.sha256):
            return upload
        upload.check_fits(chunk.size_bytes)
        uow.model_uploads.take(upload_id, chunk, now + KEPT)
        uow.commit()
    return replace(
        upload,
        received_bytes=upload.received_bytes + chunk.size_bytes,
        chunks=upload.chunks + 1,
        expires_at=now + KEPT,
    )


def _is_repeated(uow: UnitOfWork, upload: Upload, offset: int, sha256: str) -> bool:
    """Whether this chunk is here; raises Conflict(`wrong_offset`) when it is not, and is not the next one either."""
    if offset == upload.received_bytes < upload.size_bytes:
        return False
    if [chunk.sha256 for chunk in uow.model_uploads.chunks(upload.id, offset)] == [sha256]:
        return True
    raise upload.wrong_offset()


def _join(objects: ObjectStore, upload: Upload, chunks: list[Chunk], path: Path) -> str:
    """Write the file from its chunks, piece by piece; returns its SHA-256. Raises FileNotFoundError."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            for piece in objects.chunks(chunk.key(upload.folder)):
                digest.update(piece)
                file.write(piece)
    return digest.hexdigest()


def _drop(
    uow: UnitOfWork, now: datetime, principal: Principal, objects: ObjectStore, upload: Upload, action: str
) -> None:
    with uow:
        uow.model_uploads.lapse(upload.id, now)
        facts = {"name": upload.name, "received_bytes": upload.received_bytes}
        record(uow, now, principal, action, f"upload {upload.id}", **facts)
        uow.commit()
    _forget(uow, objects, upload)


def _forget(uow: UnitOfWork, objects: ObjectStore, upload: Upload) -> None:
    """Remove an upload with its chunks, these first. What the store does not do now, is done when uploads expire."""
    try:
        objects.delete_folder(upload.folder)
    except Exception as error:  # of whatever store; what was decided before is not at stake
        log.warning("chunks_left", upload=str(upload.id), error=repr(error))
        return
    with uow:
        uow.model_uploads.forget([upload.id])
        uow.commit()
