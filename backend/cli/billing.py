"""Bills in bulk and as files, and statements of earnings and of requests. Verbs of `swarmex invoice`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import bill_views as views
from backend.cli.connection import account_named, document_named, market, operator
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, note, notes, print_json, record
from backend.cli.periods import FirstOption, MonthOption, TimezoneOption, UntilOption, asked
from backend.domain.billing import format_cents
from backend.domain.errors import Invalid
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.services.invoice_run import Run

verbs = group("Billing.")

InvoiceArgument = Annotated[
    str, typer.Argument(metavar="INVOICE", help="Number or id of an invoice or credit note.", show_default=False)
]


@verbs.command(
    epilog=examples("swarmex invoice run --month 2026-10", "swarmex invoice run --month 2026-10 --timezone Asia/Tokyo")
)
def run(
    month: Annotated[str, typer.Option(metavar="MONTH", help="Which month, as in 2026-10.")],
    timezone: TimezoneOption = "UTC",
    as_json: AsJson = False,
) -> None:
    """Issue a month's invoices for all accounts that paid for anything and have none yet; may be repeated."""
    from rich.progress import Progress

    from backend import bootstrap
    from backend.services import invoice_run

    now = bootstrap.utc_now()
    period = asked(now, timezone, month)
    with market() as wired, Progress(console=notes(), transient=True, disable=not notes().is_terminal) as bar:
        task = bar.add_task("accounts", total=None)

        def tell(step: "Run") -> None:
            bar.update(task, total=step.accounts, completed=step.done)

        done = invoice_run.finalise_all(wired.uow(), now, operator(), period, tell)
    document = {
        "period_start": period.start,
        "period_end": period.end,
        "timezone": period.timezone,
        "accounts": done.accounts,
        "issued": done.issued,
        "total": format_credits(done.total_nano),
        "amount": format_cents(done.total_cents),
        "to_credit": list(done.to_credit),
    }
    told = {name: document[name] for name in ("accounts", "issued", "total", "amount")}
    emit(as_json, document, record({"period": period, **told}))
    if done.to_credit and not as_json:
        note(
            f"reversed since, on no credit note yet: {', '.join(done.to_credit)}; next: `swarmex invoice credit NUMBER`"
        )


@verbs.command(
    epilog=examples(
        "swarmex invoice export INV-2026-000001 --csv > october.csv",
        "swarmex invoice export INV-2026-000001 --html --output october.html",
    )
)
def export(
    invoice: InvoiceArgument,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, for a spreadsheet.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="A page to print, on A4.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; else standard output.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a document as a file: one of --csv, --html and --json."""
    from backend.services import bill_pages, documents

    if as_csv + as_html + as_json != 1:
        raise Invalid(
            "a document is written in one form at a time",
            code="invalid_form",
            field="csv",
            accepted="--csv, --html or --json",
        )
    with market() as wired:
        made = documents.show_document(wired.uow(), document_named(wired, invoice), operator())
    if as_json:
        print_json(views.bill(made))
        return
    content = bill_pages.csv_of(made) if as_csv else bill_pages.html_of(made)
    if output is None:
        sys.stdout.write(content)
        return
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Invalid(
            f"{output} cannot be written: {error.strerror}",
            code="invalid_output",
            field="output",
            accepted="a file in a folder that may be written to",
        ) from None


@verbs.command(
    epilog=examples("swarmex invoice earnings rack-owner --month 2026-10", "swarmex invoice earnings rack-owner --json")
)
def earnings(
    account: AccountArgument,
    month: MonthOption = None,
    first: FirstOption = None,
    end: UntilOption = None,
    timezone: TimezoneOption = "UTC",
    as_json: AsJson = False,
) -> None:
    """Show what a provider's earnings did in a period, between two balances; without a period, this month."""
    from backend import bootstrap
    from backend.services import earnings as service

    period = asked(bootstrap.utc_now(), timezone, month, first, end)
    with market() as wired:
        whose = account_named(wired, account)
        found = service.statement(wired.uow(), operator(), whose.id, period)
    document = views.earnings(found)
    emit(as_json, document, views.earnings_shown(document, whose.name, period))


@verbs.command(epilog=examples("swarmex invoice requests acme --month 2026-10", "swarmex invoice requests acme --json"))
def requests(
    account: AccountArgument,
    month: MonthOption = None,
    first: FirstOption = None,
    end: UntilOption = None,
    timezone: TimezoneOption = "UTC",
    as_json: AsJson = False,
) -> None:
    """Show what an account paid by the request (tier small), by day and model; without a period, this month."""
    from backend import bootstrap
    from backend.services import allowance_reports

    period = asked(bootstrap.utc_now(), timezone, month, first, end)
    with market() as wired:
        whose = account_named(wired, account)
        used = allowance_reports.days_of_use(wired.uow(), whose.id, operator(), period)
    document = views.requests(whose.id, period, used)
    emit(as_json, document, views.requests_shown(document, whose.name, period))
