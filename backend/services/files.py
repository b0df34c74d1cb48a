"""Files that users keep: stored, listed, read, deleted and swept.

A row is written before its content and made ready after it, and content is removed before its row: whatever dies in
between, a sweep finds what was left by its row. Files hold no money and cost none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.files import (
    RETENTION,
    UPLOAD_TIMEOUT,
    FilePurpose,
    check_room,
    check_upload,
    parse_file_name,
)
from backend.domain.ids import AccountId, FileId
from backend.services.log import record
from backend.storage.files import File
from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 10_000
SWEEP_MAX = 100
PARTIALS_KEPT = timedelta(days=1)  # nobody takes that long to store one object


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the files asked for, and whether there are more behind them."""

    files: list[File]
    more: bool


def ask_room(uow: UnitOfWork, principal: Principal, size_bytes: int) -> None:
    """Raise TooLarge for an upload of so many bytes at least that the caller's account has no room for."""
    with uow:
        kept = uow.files.kept(principal.account_id)
        check_room(kept.files, kept.size_bytes, size_bytes)


def upload(
    uow: UnitOfWork,
    now: datetime,
    objects: ObjectStore,
    principal: Principal,
    path: Path,
    filename: str,
    purpose: str,
    stays: timedelta = RETENTION,
) -> File:
    """Keep a local file for the caller's account; raises Invalid, or TooLarge beyond what an account may keep."""
    check_upload(purpose, filename)
    size = path.stat().st_size
    file = File(
        FileId(new_id()), principal.account_id, FilePurpose.BATCH, filename, size, now, now + stays, ready_at=None
    )
    with uow:
        uow.files.lock_account(principal.account_id)
        kept = uow.files.kept(principal.account_id)
        check_room(kept.files, kept.size_bytes, size)
        uow.files.add([file])
        uow.commit()
    objects.put_file(path, file.key)
    with uow:
        if not uow.files.make_ready(file.id, size, now):
            objects.delete(file.key)  # its row is gone, perhaps, and with it what would have had it swept
            raise Conflict("the upload took too long", code="upload_lapsed", field="file", accepted="send it again")
        uow.commit()
    return file


def list_files(
    uow: UnitOfWork,
    now: datetime,
    account: AccountId | None,
    purpose: str | None = None,
    limit: int = LIST_MAX,
    after: str | None = None,
    *,
    ascending: bool = False,
) -> Page:
    """Files of an account, or of everybody, the newest first; `after` continues a list behind a file."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if purpose is not None and purpose not in [known.value for known in FilePurpose]:
        return Page([], False)  # OpenAI's other purposes: of those there are none
    wanted = None if purpose is None else FilePurpose(purpose)
    behind = None if after is None else parse_file_name(after, "after")
    with uow:
        found = uow.files.page(account, now, wanted, limit + 1, behind, ascending=ascending)
    return Page(found[:limit], len(found) > limit)


def show_file(uow: UnitOfWork, now: datetime, name: str, principal: Principal) -> File:
    """A file of the caller (admins: of anybody); raises NotFound."""
    with uow:
        return _owned(uow, now, name, principal)


def read_file(
    uow: UnitOfWork, now: datetime, objects: ObjectStore, name: str, principal: Principal | None
) -> tuple[File, Iterator[bytes]]:
    """A file and its content piece by piece; without a principal the caller came by a signed link. Raises NotFound."""
    with uow:
        file = _owned(uow, now, name, principal)
    try:
        return file, objects.chunks(file.key)
    except FileNotFoundError:  # a row that was restored, of a file that had been deleted
        raise NotFound("file", name, field="file_id") from None


def delete_file(uow: UnitOfWork, now: datetime, name: str, principal: Principal) -> File:
    """Delete a file; raises NotFound, or Conflict(`file_in_use`) for the input of a batch that has not ended."""
    with uow:
        file = _owned(uow, now, name, principal)
        uow.files.lock_account(file.account_id)
        if uow.batches.reads(file.id):
            raise Conflict(
                f"a batch still reads {name}",
                code="file_in_use",
                field="file_id",
                accepted="a file that no open batch reads: cancel it, or wait for its end",
            )
        uow.files.delete([file.id], now)
        if principal.role is Role.ADMIN:
            record(uow, now, principal, "file.delete", f"file {file.id}", account=str(file.account_id))
        uow.commit()
    return file


def sweep(uow: UnitOfWork, now: datetime, objects: ObjectStore) -> bool:
    """Delete what has expired and remove what was deleted, SWEEP_MAX of each; returns whether there may be more."""
    with uow:
        lapsed = uow.files.delete_lapsed(now, now - UPLOAD_TIMEOUT, SWEEP_MAX)
        uow.commit()
    with uow:
        deleted = uow.files.lock_deleted(SWEEP_MAX)
        for file in deleted:
            objects.delete(file.key)
        uow.files.forget([file.id for file in deleted])
        uow.commit()
    return SWEEP_MAX in (lapsed, len(deleted))


def sweep_partials(now: datetime, objects: ObjectStore) -> bool:
    """Remove what killed processes left half written in the store; there is never more to do at once."""
    objects.drop_partials(now - PARTIALS_KEPT)
    return False


def _owned(uow: UnitOfWork, now: datetime, name: str, principal: Principal | None) -> File:
    file = uow.files.find(parse_file_name(name), now)
    owner = None if principal is None or principal.role is Role.ADMIN else principal.account_id
    if file is None or owner not in (None, file.account_id):
        raise NotFound("file", name, field="file_id")
    return file
