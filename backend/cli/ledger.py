"""The books."""

import typer

from backend.cli.connection import market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import console, figures, print_json, table, words
from backend.domain.money import format_credits

verbs = group("The books.")


@verbs.command(epilog=examples("swarmex ledger audit", "swarmex ledger audit --json || echo 'call the accountant'"))
def audit(as_json: AsJson = False) -> None:
    """Recompute every balance, reservation, capture and charge from the transfers; exit 1 on any difference."""
    from backend.services.audit import audit_ledger

    with market() as wired:
        report = audit_ledger(wired.uow())
    counts = {"accounts": report.accounts, "transfers": report.transfers, "holds": report.holds}
    differences = [
        {
            "what": d.what,
            "id": d.id,
            "recorded": format_credits(d.recorded_nano),
            "computed": format_credits(d.computed_nano),
        }
        for d in report.differences
    ]
    if as_json:
        print_json({"ok": report.ok, **counts, "differences": differences})
    else:
        looked_at = ", ".join(f"{count} {name}" for name, count in counts.items())
        console().print(f"ledger audit: {'OK' if report.ok else 'DIFFERENCES'} ({looked_at})")
        if differences:
            columns = [words("What"), words("Id"), figures("Recorded"), figures("Computed")]
            console().print(table(columns, [tuple(d.values()) for d in differences]))
    if not report.ok:
        raise typer.Exit(1)
