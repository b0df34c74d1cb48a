"""The way back from a backup."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.backup import FolderArgument, facts, shown
from backend.cli.bars import Bars
from backend.cli.confirmations import confirm
from backend.cli.connection import is_embedded, quiet_logs
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, note, notes, text
from backend.cli.servers import are_up
from backend.cli.signals import interruptible

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.services.audit import AuditReport
    from backend.services.restore import Plan

EXAMPLES = examples(
    "swarmex restore /srv/backups/2026-03-01",
    "SWARMEX_DATA_FOLDER=/srv/rehearsal swarmex restore /srv/backups/2026-03-01   # beside the market that runs",
    "swarmex down && swarmex restore /srv/backups/2026-03-01 --replace --yes",
)


def restore(
    folder: FolderArgument,
    replace: Annotated[bool, typer.Option("--replace", help="Give up the market that is here.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before that.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back, into an empty data folder or database.

    Every file is checked before anything is changed; at the end the books are audited.
    If anything fails, what was here before is put back. Exit 1 unless the audit is OK.
    """
    from backend import bootstrap
    from backend.domain.backups import require_known_schema
    from backend.services.backup import verify_backup
    from backend.services.restore import plan_restore
    from backend.services.restore import restore as carry_out

    with interruptible():
        with Bars(notes()) as bars:
            manifest = verify_backup(folder, bars.tell)
        require_known_schema(manifest, bootstrap.latest_revision())
        with closing(_connect()) as wired:
            plan = plan_restore(wired.uow(), wired.objects, folder, manifest, replace=replace)
            if plan.accounts_replaced and not yes:
                _confirm(plan, as_json)
            with Bars(notes()) as bars:
                report = carry_out(
                    wired.uow(),
                    bootstrap.utc_now(),
                    wired.database_url,
                    wired.objects,
                    plan,
                    lambda: bootstrap.migrate(wired.database_url),
                    bars.tell,
                )
    _tell(folder, plan, report, as_json)


def _connect() -> "Swarmex":
    """The deployment, whose data folder is made if need be: to restore is how a market may begin."""
    from backend import bootstrap

    settings = bootstrap.settings()
    quiet_logs(settings)
    if is_embedded(settings) and not are_up(settings):
        note(f"Starting PostgreSQL and Redis in {settings.folder}; `swarmex down` stops them.")
    return bootstrap.connect(settings)


def _confirm(plan: "Plan", as_json: bool) -> None:
    fact = f"a market with {plan.accounts_replaced} accounts would be given up"
    made_at = text(plan.manifest.made_at)
    question = f"Give up the market here, with {plan.accounts_replaced} accounts, for the backup of {made_at} UTC?"
    confirm(fact, question, yes=False, as_json=as_json)


def _tell(folder: Path, plan: "Plan", report: "AuditReport", as_json: bool) -> None:
    from backend.domain.money import format_credits

    differences = [
        {
            "what": found.what,
            "id": found.id,
            "recorded": format_credits(found.recorded_nano),
            "computed": format_credits(found.computed_nano),
        }
        for found in report.differences
    ]
    counts = {"accounts": report.accounts, "transfers": report.transfers, "holds": report.holds}
    audit = {"ok": report.ok, **counts, "differences": differences}
    document = {
        "folder": str(folder.absolute()),
        "replaced_accounts": plan.accounts_replaced,
        **facts(plan.manifest),
        "audit": audit,
    }
    looked_at = ", ".join(f"{count} {name}" for name, count in counts.items())
    emit(as_json, document, shown(document, f"{'OK' if report.ok else 'DIFFERENCES'} ({looked_at})"))
    if not report.ok:
        note("The books were not in order when the backup was made: `swarmex ledger audit` shows where.")
        raise typer.Exit(1)
    if not as_json:
        note("`swarmex up` starts the market.")
