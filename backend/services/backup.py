"""Backups: one moment of the database, and every object that it names, in a folder that can be checked by itself."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from backend.domain.backups import (
    Audited,
    BackupDamaged,
    Damage,
    Kept,
    Manifest,
    from_json,
    require_whole,
    to_json,
)
from backend.domain.errors import Invalid, Unavailable
from backend.domain.money import format_credits
from backend.domain.uploads import FOLDER as UPLOADS
from backend.services.audit import AuditReport, examine
from backend.services.log import record
from backend.storage import dump, programs
from backend.storage.backup_folder import BackupFolder, damage, kept
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

DATABASE, OBJECTS, CHECK = "database", "objects", "checksums"
NAME_CHARS = 16  # of the dump's checksum: what the audit log calls a backup

Tell = Callable[[str, int, int | None], None]  # what is copied or checked, bytes so far, bytes in all if known


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Tells nobody."""


def make_backup(
    uow: Callable[[], UnitOfWork],
    now: datetime,
    database_url: str,
    objects: ObjectStore,
    path: Path,
    product: str,
    latest_schema: str,
    tell: Tell = silent,
) -> Manifest:
    """Copy the market into a new folder while it goes on: dump, objects, manifest.

    The dump, its totals and its audit are of one moment. Objects are copied after it: they are stored before their
    rows, so all that the dump names are there, and each model's file is compared with the checksum in its row. Raises
    Invalid, Unavailable, ProgramFailed, BackupDamaged(`model_file_missing`, `model_file_damaged`); then nothing is left
    behind.
    """
    folder = BackupFolder(path)
    if objects.is_around(folder.path):
        raise Invalid(
            f"{folder.path} lies in the object store, which is to be copied into it",
            code="folder_in_use",
            field="folder",
            accepted="a folder somewhere else, best on another machine",
        )
    with folder.making():
        with uow() as frozen:
            snapshot = frozen.backups.freeze()
            schema = _schema(frozen, latest_schema)
            major = frozen.backups.server_major()
            program = programs.find("pg_dump", major)
            totals, models = frozen.backups.totals(), frozen.backups.model_files()
            audit = audited(examine(frozen)) if schema == latest_schema else None
            folder.dump.touch(mode=0o600)
            dump.dump(program, database_url, snapshot, folder.dump, lambda: tell(DATABASE, _size(folder.dump), None))
        copied = _copy_objects(objects, folder, models, tell)
        made = Manifest(product, schema, now, major, program.major, kept(folder.dump), copied, totals, audit)
        text = to_json(made)
        from_json(text)  # what cannot be read again is no backup
        folder.seal(text)
    if schema == latest_schema:
        _record(uow(), now, made)
    return made


def verify_backup(path: Path, tell: Tell = silent) -> Manifest:
    """Compare every file of a backup with its checksum, without a database.

    Raises Invalid(`no_backup`, `unknown_backup_format`) and BackupDamaged(`incomplete_backup`, `manifest_damaged`,
    `file_missing`, `dump_damaged`, `object_damaged`).
    """
    folder = BackupFolder(path)
    manifest = from_json(folder.read())
    total = manifest.dump.size_bytes + sum(expected.size_bytes for expected in manifest.objects.values())
    done = 0

    def read(size: int) -> None:
        nonlocal done
        done += size
        tell(CHECK, done, total)

    found = [damage("dump_damaged", folder.dump.name, folder.dump, manifest.dump, read)]
    for key, expected in manifest.objects.items():
        found.append(damage("object_damaged", f"objects/{key}", folder.object(key), expected, read))
    require_whole([wrong for wrong in found if wrong])
    return manifest


def audited(report: AuditReport) -> Audited:
    """An audit as a manifest keeps it."""
    told = tuple(
        f"{found.what} {found.id}: {format_credits(found.recorded_nano)} recorded, "
        f"{format_credits(found.computed_nano)} computed"
        for found in report.differences
    )
    return Audited(report.ok, report.accounts, report.transfers, report.holds, told)


def _schema(uow: UnitOfWork, latest: str) -> str:
    schema = uow.backups.schema_revision()
    if schema is None:
        raise Unavailable(
            "the database has no market in it",
            code="not_initialised",
            field="SWARMEX_DATABASE_URL",
            accepted="the database of a market",
        )
    if schema > latest:
        raise Unavailable(
            f"the market has schema {schema}, this Swarmex knows {latest}",
            code="newer_schema",
            accepted="the version of Swarmex that the market runs on",
        )
    return schema


def _record(uow: UnitOfWork, now: datetime, made: Manifest) -> None:
    with uow:
        record(uow, now, None, "backup.make", f"backup {made.dump.sha256[:NAME_CHARS]}", schema=made.schema)
        uow.commit()


def _copy_objects(objects: ObjectStore, folder: BackupFolder, models: Mapping[str, str], tell: Tell) -> dict[str, Kept]:
    stored = objects.keys()
    there = {key: size for key, size in stored if not key.startswith(UPLOADS)}  # which come and go
    missing = [Damage("model_file_missing", f"the store has no {key}") for key in models if key not in there]
    _require_models(missing, "`swarmex model register NAME FILE` of the same file puts it back")
    total, done, copied = sum(there.values()), 0, {}
    tell(OBJECTS, 0, total)
    for key, size in there.items():
        target = folder.object(key)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            objects.get_file(key, target)
        except FileNotFoundError:
            if key in models:
                raise
            continue  # a file or a part of a batch that was deleted meanwhile
        copied[key] = kept(target)
        done += size
        tell(OBJECTS, done, total)
    _require_models(
        [
            Damage("model_file_damaged", f"{key} has sha256 {copied[key].sha256}, {checksum} was registered")
            for key, checksum in models.items()
            if copied[key].sha256 != checksum
        ],
        "delete it, then `swarmex model register NAME FILE` of the same file puts it back",
    )
    return copied


def _require_models(damages: list[Damage], remedy: str) -> None:
    """Raise BackupDamaged for model files of the market itself, which no backup can be made of."""
    try:
        require_whole(damages)
    except BackupDamaged as error:
        error.field, error.accepted = "objects", remedy
        raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
