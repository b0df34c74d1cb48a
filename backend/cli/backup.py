"""A copy of the whole market in a folder."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.bars import Bars
from backend.cli.connection import market
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, figures, note, notes, record, table, words
from backend.cli.signals import interruptible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from backend.domain.backups import Manifest

EXAMPLES = examples(
    "swarmex backup /srv/backups/2026-03-01",
    "swarmex backup --verify /srv/backups/2026-03-01   # needs no database",
    'swarmex backup "/srv/backups/$(date +%F-%H%M)" --json || echo "no backup tonight"',
)
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="The backup's folder.", show_default=False)]


def backup(
    folder: FolderArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the files of a backup that was made, without a database.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the market into a new folder, or check such a copy.

    The market may go on meanwhile: the copy is of one moment. It holds all but the servers'
    passwords: keep it where only you can read it. Exit 1 if the books are not in order;
    the backup is made nevertheless.
    """
    from backend.services.backup import verify_backup

    if verify:
        with interruptible(), Bars(notes()) as bars:
            manifest = verify_backup(folder, bars.tell)
    else:
        manifest = _make(folder)
    document = {"folder": str(folder.absolute()), "verified": verify, **facts(manifest)}
    emit(as_json, document, shown(document, audited(manifest)))
    if not as_json and not verify:
        note(f"`swarmex backup --verify {folder}` checks it; `swarmex restore {folder}` brings it back.")
    if not verify and manifest.audit and not manifest.audit.ok:
        note("The books are not in order: `swarmex ledger audit` shows where. The backup is a true copy of them.")
        raise typer.Exit(1)


def facts(manifest: "Manifest") -> dict[str, Any]:
    """What a backup holds."""
    audit = manifest.audit
    return {
        "made_at": manifest.made_at,
        "product": manifest.product,
        "schema": manifest.schema,
        "dump_bytes": manifest.dump.size_bytes,
        "dump_sha256": manifest.dump.sha256,
        "objects": len(manifest.objects),
        "object_bytes": sum(kept.size_bytes for kept in manifest.objects.values()),
        "audit": audit
        and {
            "ok": audit.ok,
            "accounts": audit.accounts,
            "transfers": audit.transfers,
            "holds": audit.holds,
            "differences": list(audit.differences),
        },
        "totals": dict(manifest.totals),
    }


def shown(document: dict[str, Any], audit: str) -> "RenderableType":
    """The facts below each other, then the totals."""
    from rich.console import Group

    plain = {name: fact for name, fact in document.items() if name not in ("audit", "totals")}
    totals = table([words("Total of"), figures("")], sorted(document["totals"].items()))
    return Group(record({**plain, "audit": audit}), "", totals)


def audited(manifest: "Manifest") -> str:
    """The audit that went with a backup, in words."""
    if manifest.audit is None:
        return "not possible: the schema was older than the program"
    return "\n".join(["OK" if manifest.audit.ok else "DIFFERENCES", *manifest.audit.differences])


def _make(folder: Path) -> "Manifest":
    from backend import bootstrap
    from backend.services.backup import make_backup

    with interruptible(), market() as wired, Bars(notes()) as bars:
        return make_backup(
            wired.uow,
            bootstrap.utc_now(),
            wired.database_url,
            wired.objects,
            folder,
            version("swarmex"),
            bootstrap.latest_revision(),
            bars.tell,
        )
