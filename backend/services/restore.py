"""Restoring a backup: into an empty market, or in the place of one that somebody decided to give up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backend.domain.backups import Manifest, differing, differing_audits
from backend.domain.errors import Conflict, SwarmexError, Unavailable
from backend.services.audit import AuditReport, audit_ledger, keep
from backend.services.backup import DATABASE, NAME_CHARS, OBJECTS, Tell, audited, silent
from backend.services.log import record
from backend.storage import dump, programs
from backend.storage.backup_folder import BackupFolder
from backend.storage.objects import ObjectStore
from backend.storage.programs import Program
from backend.storage.store_away import StoreAway
from backend.storage.unit_of_work import UnitOfWork

TOLD_MAX = 5


class RestoreFailed(SwarmexError):
    """What was restored is not what was backed up; what was there before has been put back."""

    code = "restore_failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """A backup whose files are whole, for a database that can take it."""

    folder: BackupFolder
    manifest: Manifest
    program: Program
    accounts_replaced: int
    damaged_objects: tuple[str, ...]  # of the store, which the backup has undamaged


def plan_restore(uow: UnitOfWork, objects: ObjectStore, path: Path, manifest: Manifest, *, replace: bool) -> Plan:
    """Tell whether this market may give its place to a backup that was verified; nothing of it is changed.

    What an interrupted restore had set aside is put back first. Raises Conflict(`older_server`, `market_not_empty`,
    `market_running`, `objects_differ`), Unavailable(`no_postgres_programs`).
    """
    with uow:
        if uow.replacements.was_cut_short():
            uow.replacements.put_back()
            uow.commit()
    with uow:
        major, accounts = uow.backups.server_major(), uow.replacements.accounts()
        others = uow.replacements.await_others()
    if major < manifest.server_major:
        raise Conflict(
            f"the backup is of PostgreSQL {manifest.server_major}, this server is {major}",
            code="older_server",
            field="SWARMEX_DATABASE_URL",
            accepted=f"PostgreSQL {manifest.server_major} or later",
        )
    if accounts and not replace:
        raise Conflict(
            f"the market has {accounts} accounts",
            code="market_not_empty",
            field="--replace",
            accepted="an empty data folder or database, or --replace to give this market up",
        )
    if others:
        raise Conflict(
            f"{others} connections to the market's database are open",
            code="market_running",
            accepted="a market whose agents and API are stopped",
        )
    program = programs.find("pg_restore", max(major, manifest.tool_major))
    damaged = tuple(
        key for key, kept in manifest.objects.items() if objects.exists(key) and objects.checksum(key) != kept.sha256
    )
    if damaged and not replace:
        raise Conflict(
            f"the object store has other files under the same keys: {', '.join(damaged[:TOLD_MAX])}",
            code="objects_differ",
            field="--replace",
            accepted="an empty object store, or --replace to overwrite them",
        )
    return Plan(BackupFolder(path), manifest, program, accounts, damaged)


def restore(
    uow: UnitOfWork,
    now: datetime,
    database_url: str,
    objects: ObjectStore,
    plan: Plan,
    migrate: Callable[[], None],
    tell: Tell = silent,
) -> AuditReport:
    """Carry a plan out; the audit of what was restored finds what that of the backup did, and nothing else.

    Objects first, then the database, whose totals must be the manifest's; then `migrate` brings it up to date. When
    anything fails, what was there before is put back. Raises ProgramFailed, RestoreFailed, Conflict, Unavailable.
    """
    _put_objects(objects, plan, tell)
    with uow:
        uow.replacements.make_node_role()
        uow.replacements.set_aside()
        uow.commit()
    try:
        tell(DATABASE, 0, None)
        dump.restore(plan.program, database_url, plan.folder.dump, lambda: tell(DATABASE, 0, None))
        with uow:
            wrong = differing(plan.manifest.totals, uow.backups.totals())
        if wrong:
            raise RestoreFailed(f"the totals are not the backup's: {'; '.join(wrong[:TOLD_MAX])}", code="totals_differ")
        migrate()
        report = audit_ledger(uow)
        _check_audit(uow, plan.manifest, report)
        keep(uow, now, report)
    except BaseException:
        with uow:
            uow.replacements.put_back()
            uow.commit()
        raise
    with uow:
        uow.replacements.drop_aside()
        uow.replacements.analyse()
        subject = f"backup {plan.manifest.dump.sha256[:NAME_CHARS]}"
        record(uow, now, None, "backup.restore", subject, made_at=plan.manifest.made_at.isoformat())
        uow.commit()
    return report


def _check_audit(uow: UnitOfWork, manifest: Manifest, report: AuditReport) -> None:
    """Raise RestoreFailed(`audit_failed`, `audit_differs`); books of an older schema have no audit to compare with."""
    accepted = f"a backup that is whole, with Swarmex {manifest.product}, which made it"
    before = manifest.audit
    if not report.ok and (before is None or before.ok):
        told = f"the audit finds {len(report.differences)} differences"
        raise RestoreFailed(told, code="audit_failed", field="folder", accepted=accepted)
    with uow:
        schema = uow.backups.schema_revision()
    wrong = differing_audits(before, audited(report)) if before and manifest.schema == schema else []
    if wrong:
        told = f"the audit is not the backup's: {'; '.join(wrong[:TOLD_MAX])}"
        raise RestoreFailed(told, code="audit_differs", field="folder", accepted=accepted)


def was_interrupted(uow: UnitOfWork) -> bool:
    """Whether a restore was begun in this database and not ended: another one ends it."""
    with uow:
        return uow.replacements.is_aside()


def _put_objects(objects: ObjectStore, plan: Plan, tell: Tell) -> None:
    total, done = sum(kept.size_bytes for kept in plan.manifest.objects.values()), 0
    for key, kept in plan.manifest.objects.items():
        try:
            objects.put_file(plan.folder.object(key), key, replace=key in plan.damaged_objects)
        except (OSError, StoreAway) as error:
            raise Unavailable(
                f"the object store does not take {key}: {error.__cause__ or error}",
                code="copy_failed",
                field="SWARMEX_OBJECTS_URL",
                accepted="an object store that can be written, with room",
            ) from error
        done += kept.size_bytes
        tell(OBJECTS, done, total)
