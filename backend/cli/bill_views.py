"""What is told of invoices, credit notes and earnings: as in the HTTP API, and as tables."""

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from backend.cli.output import figures, record, table, words
from backend.domain.billing import format_cents, format_quantity
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backend.domain.billing import Document, Line
    from backend.domain.earnings import EarningsStatement
    from backend.domain.ids import AccountId
    from backend.domain.periods import Period
    from backend.services.documents import Bill
    from backend.storage.allowances import DayOfUse

Facts = dict[str, Any]


def summary(document: "Document") -> Facts:
    """A document without its lines: carried in + total = amount + carried out."""
    return {
        "id": document.id,
        "account": document.account_id,
        "kind": document.kind,
        "number": document.number,
        "state": document.state,
        "period_start": document.period_start,
        "period_end": document.period_end,
        "timezone": document.timezone,
        "credits": document.credits_id,
        "total": format_credits(document.total_nano),
        "carried_in": format_credits(document.carried_in_nano),
        "amount": format_cents(document.total_cents),
        "carried_out": format_credits(document.carried_out_nano),
        "reason": document.reason,
        "reference": document.reference,
        "created_at": document.created_at,
        "finalised_at": document.finalised_at,
        "closed_at": document.closed_at,
    }


def bill(made: "Bill") -> Facts:
    """A document with its lines."""
    return {**summary(made.document), "lines": [_line(line) for line in made.lines]}


def _line(line: "Line") -> Facts:
    return {
        "kind": line.kind,
        "tier": line.tier,
        "description": line.description,
        "quantity": None if line.quantity_micro is None else format_quantity(line.quantity_micro),
        "unit": line.unit,
        "amount": format_credits(line.amount_nano),
        "rounded": format_cents(line.cents),
        "transfer": line.transfer_id,
    }


def bill_shown(made: "Bill") -> Group:
    """A document's facts; then its lines, and how they make the amount."""
    from backend.services.bill_pages import facts_of, heading_of

    document = made.document
    heading = {"document": heading_of(document), "state": document.state}
    facts = {**heading, **{name.lower(): fact for name, fact in facts_of(made).items()}}
    columns = [words("What"), words("Tier"), figures("Quantity"), figures("Amount"), figures("Rounded")]
    rows = [
        (
            line.description,
            line.tier or "",
            line.counted or "",
            format_credits(line.amount_nano),
            format_cents(line.cents),
        )
        for line in made.lines
    ]
    lines = table(columns, rows)
    lines.add_section()
    for name, nano in (
        ("Total of the lines", document.total_nano),
        ("Carried in from earlier documents", document.carried_in_nano),
        ("Carried out to the next document", document.carried_out_nano),
    ):
        lines.add_row(name, "", "", format_credits(nano), "")
    lines.add_row("Amount", "", "", "", format_cents(document.total_cents), style="bold")
    return Group(record(facts), "", lines)


def summaries_shown(found: "Sequence[Document]", names: "Mapping[AccountId, str]") -> RenderableType:
    """Documents below each other, by number; drafts by id."""
    columns = [words("Document"), words("Account"), words("Kind"), words("State"), words("Period"), figures("Amount")]
    return table(
        columns,
        [
            (
                d.number or d.id,
                names.get(d.account_id, d.account_id),
                d.kind.replace("_", " "),
                d.state,
                d.period,
                format_cents(d.total_cents),
            )
            for d in found
        ],
    )


def earnings(statement: "EarningsStatement") -> Facts:
    """What earnings did in a period: opening + lines = closing."""
    return {
        "account": statement.account_id,
        "period_start": statement.period.start,
        "period_end": statement.period.end,
        "timezone": statement.period.timezone,
        "opening": format_credits(statement.opening_nano),
        "opening_withheld": format_credits(statement.opening_withheld_nano),
        "lines": [
            {
                "kind": line.kind,
                "reverses": line.reverses,
                "workload": line.workload,
                "count": line.count,
                "earnings": format_credits(line.earnings_nano),
                "withheld": format_credits(line.withheld_nano),
            }
            for line in statement.lines
        ],
        "closing": format_credits(statement.closing_nano),
        "closing_withheld": format_credits(statement.closing_withheld_nano),
    }


def earnings_shown(document: Facts, account: str, period: "Period") -> RenderableType:
    """A statement with its balances as first and last row."""
    columns = [words("What"), words("Workload"), figures("Count"), figures("Earnings"), figures("Withheld")]
    rows: list[tuple[object, ...]] = [
        ("opening balance", None, None, document["opening"], document["opening_withheld"]),
        *(
            (
                line["kind"] if line["reverses"] is None else f"{line['kind']} of {line['reverses']}",
                line["workload"],
                line["count"],
                line["earnings"],
                line["withheld"],
            )
            for line in document["lines"]
        ),
        ("closing balance", None, None, document["closing"], document["closing_withheld"]),
    ]
    return table(columns, rows, f"Earnings of {account}, {period}")


def requests(account: "AccountId", period: "Period", used: "Sequence[DayOfUse]") -> Facts:
    """What was paid by the request in a period, by day and model."""
    return {
        "account": account,
        "period_start": period.start,
        "period_end": period.end,
        "timezone": period.timezone,
        "lines": [
            {
                "day": line.day,
                "model": line.model,
                "requests": line.requests,
                "busy_seconds": format_quantity(line.busy_us),
                "charge": format_credits(line.charged_nano),
            }
            for line in used
        ],
        "requests": sum(line.requests for line in used),
        "charge": format_credits(sum(line.charged_nano for line in used)),
    }


def requests_shown(document: Facts, account: str, period: "Period") -> RenderableType:
    """A statement of requests with its sum as last row."""
    columns = [words("Day"), words("Model"), figures("Requests"), figures("Busy seconds"), figures("Charge")]
    rows: list[tuple[object, ...]] = [
        *(
            (f"{line['day']:%Y-%m-%d}", line["model"], line["requests"], line["busy_seconds"], line["charge"])
            for line in document["lines"]
        ),
        ("sum", None, document["requests"], None, document["charge"]),
    ]
    return table(columns, rows, f"Requests of {account}, {period}")
