"""Documents as files: comma-separated values for a spreadsheet, and a page to print. Pure functions of a bill."""

import csv
import io
import shlex
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from backend.domain.billing import Document, DocumentKind, Line, format_cents, format_quantity
from backend.domain.money import format_credits
from backend.domain.periods import zone_named
from backend.services.documents import Bill

CSV_COLUMNS = ("document", "line", "kind", "tier", "description", "quantity", "unit", "amount", "rounded")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def file_name(document: Document, ending: str) -> str:
    """What a document is called as a file."""
    return f"{document.number or f'draft-{document.period_start:%Y-%m-%d}'}.{ending}"


def heading_of(document: Document) -> str:
    """What a document is, in words; a draft has no number yet."""
    return f"{document.kind.replace('_', ' ').capitalize()} {document.number or ''}".rstrip()


def facts_of(bill: Bill) -> dict[str, str]:
    """Whose a document is, what for, and what became of it, in words; times are those of its time zone."""
    document = bill.document
    facts = {
        "Account": f"{bill.account_name} ({document.account_id})",
        "Period": str(document.period),
        "Credits": bill.credits_number,
        "Issued": _local(document.finalised_at, document),
        "Closed": _local(document.closed_at, document),
        "Payment": document.reference,
        "Void because": document.reason,
        "Id": str(document.id) if document.id else None,
    }
    return {name: fact for name, fact in facts.items() if fact}


def csv_of(bill: Bill) -> str:
    """A row per line, then what was carried in and out; `amount` is exact, `rounded` in cents, both in credits."""
    document = bill.document
    name = document.number or "draft"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for line in bill.lines:
        quantity = "" if line.quantity_micro is None else format_quantity(line.quantity_micro)
        words = (line.kind, line.tier or "", line.description)
        amounts = (format_credits(line.amount_nano), format_cents(line.cents))
        writer.writerow((name, line.seq, *map(_cell, words), quantity, _cell(line.unit or ""), *amounts))
    for kind, nano, cents in (
        ("carried_in", document.carried_in_nano, None),
        ("carried_out", document.carried_out_nano, None),
        ("total", document.total_nano, document.total_cents),
    ):
        rounded = "" if cents is None else format_cents(cents)
        writer.writerow((name, "", kind, "", "", "", "", format_credits(nano), rounded))
    return out.getvalue()


def html_of(bill: Bill) -> str:
    """A page for A4 paper that loads nothing from elsewhere; everything that anybody has named is escaped."""
    document = bill.document
    heading = heading_of(document)
    return _template().substitute(
        title=escape(f"{heading} for {bill.account_name}"),
        heading=escape(heading),
        state=escape(document.state),
        facts="\n".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in facts_of(bill).items()),
        lines="\n".join(map(_row, bill.lines)),
        total=format_credits(document.total_nano),
        carried_in=format_credits(document.carried_in_nano),
        carried_out=format_credits(document.carried_out_nano),
        amount=format_cents(document.total_cents),
        check=_check(bill),
    )


@cache
def _template() -> Template:
    return Template(files("backend.services").joinpath("bill_page.html").read_text(encoding="utf-8"))


def _row(line: Line) -> str:
    return (
        f"<tr><td>{line.seq}</td><td>{escape(line.description)}</td><td>{escape(line.tier or '')}</td>"
        f'<td class="figure">{escape(line.counted or "")}</td>'
        f'<td class="figure">{format_credits(line.amount_nano)}</td>'
        f'<td class="figure">{format_cents(line.cents)}</td></tr>'
    )


def _check(bill: Bill) -> str:
    document = bill.document
    if document.kind is DocumentKind.CREDIT_NOTE:
        return (
            f"<p>Each line is one reversal of what {escape(bill.credits_number or '')} billed; <code>swarmex ledger "
            "show TRANSFER</code> shows both transfers. They are on no other document.</p>"
        )
    since, until = (moment.isoformat() for moment in (document.period_start, document.period_end))
    command = f"swarmex ledger statement {shlex.quote(bill.account_name)} --from {since} --to {until}"
    return (
        f"<p><code>{escape(command)}</code></p><p>The changes that it lists, with the opposite sign, add up to the "
        "total of the lines, once two things are left out: deposits and their reversals, and reversals of what an "
        "earlier invoice had billed, which are on that invoice's credit note.</p>"
    )


def _local(moment: datetime | None, document: Document) -> str | None:
    return None if moment is None else f"{moment.astimezone(zone_named(document.timezone)):%Y-%m-%d %H:%M %Z}"


def _cell(words: str) -> str:
    return f"'{words}" if words.startswith(_FORMULA) else words
