"""What an audit found, as a document and as a table that says what each difference means."""

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.status import Status

from backend.cli.output import figures, notes, table, words
from backend.domain.money import US_PER_S, format_credits

if TYPE_CHECKING:
    from backend.services.audit import AuditReport


def document(report: "AuditReport") -> dict[str, Any]:
    """The report with amounts as decimal strings of credits."""
    from backend.services.audit import meaning

    return {
        "ok": report.ok,
        "mode": report.mode,
        "accounts": report.accounts,
        "transfers": report.transfers,
        "holds": report.holds,
        "sum": format_credits(report.sum_nano),
        "seconds": report.took_us / US_PER_S,
        "differences": [
            {
                "what": difference.what,
                "id": difference.id,
                "about": difference.about,
                "recorded": format_credits(difference.recorded_nano),
                "computed": format_credits(difference.computed_nano),
                "meaning": meaning(difference),
            }
            for difference in report.differences
        ],
    }


def shown(found: dict[str, Any]) -> RenderableType:
    """One line, and the differences below it."""
    new, pending = {"full": ("", ""), "incremental": ("new ", "pending ")}[found["mode"]]
    counts = {"account": found["accounts"], f"{new}transfer": found["transfers"], f"{pending}hold": found["holds"]}
    looked_at = ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    line = f"ledger audit: {'OK' if found['ok'] else 'DIFFERENCES'} ({looked_at}, {found['seconds']:.2f} s)"
    if found["ok"]:
        return line
    columns = [words("What"), words("Of"), words("Id"), figures("Recorded"), figures("Computed"), words("It means")]
    facts = ("what", "about", "id", "recorded", "computed", "meaning")
    rows = [tuple(difference[fact] for fact in facts) for difference in found["differences"]]
    return Group(line, "", table(columns, rows))


def waiting() -> Status:
    """Something that moves on a terminal while the books are added up."""
    console = notes()
    console.quiet = not sys.stderr.isatty()
    return console.status("Adding up the books…")
