"""The books: audited, looked into, and corrected."""

import csv
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import corrections
from backend.cli import money_views as views
from backend.cli.connection import account_named, market, parse_id
from backend.cli.moments import FromOption, ToOption, parse_moment
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import console, emit, print_json
from backend.domain.errors import Invalid
from backend.domain.ledger import AccountKind
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.services.statements import Statement

verbs = group("The books.")
verbs.add_typer(corrections.verbs)


@verbs.command(
    epilog=examples(
        "swarmex ledger audit",
        "swarmex ledger audit --account acme",
        "swarmex ledger audit --exact --json || echo 'call the accountant'",
    )
)
def audit(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what changed since the last time, as the settlement agent does.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Add up every figure by itself; otherwise 1 audit in 2³¹ may miss something."),
    ] = False,
    account: AccountOption = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every balance, hold, charge and budget from the transfers and holds; exit 1 on any difference."""
    from backend import bootstrap
    from backend.cli import auditing
    from backend.services.audit import audit_ledger, audit_recent, keep

    if incremental and (exact or account):
        raise Invalid(
            "an incremental audit is of all accounts, and of what changed",
            code="invalid_form",
            field="incremental",
            accepted="--incremental alone; or --exact, --account ACCOUNT or both",
        )
    with market() as wired, auditing.waiting():
        whose = account_named(wired, account).id if account else None
        if incremental:
            report = audit_recent(wired.uow(), bootstrap.utc_now())
        else:
            report = audit_ledger(wired.uow(), exact=exact, account=whose)
            if whose is None:
                keep(wired.uow(), bootstrap.utc_now(), report)
    document = auditing.document(report)
    emit(as_json, document, auditing.shown(document))
    if not report.ok:
        raise typer.Exit(1)


@verbs.command(
    epilog=examples(
        "swarmex ledger show acme",
        "swarmex ledger show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        "swarmex ledger show acme --json | jq .balances",
    )
)
def show(
    what: Annotated[
        str, typer.Argument(metavar="ACCOUNT|TRANSFER|HOLD|ORDER", help="A name or an id.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Show what the books have: an account's balances, holds and last transfers, or a transfer, hold or order."""
    from backend.cli import books
    from backend.services import statements

    with market() as wired:
        document, shown = books.view(statements.look(wired.uow(), parse_id(what) or what))
    if as_json:
        print_json(document)
        return
    console().print(*shown, sep="\n\n")


@verbs.command(
    epilog=examples(
        "swarmex ledger statement acme",
        "swarmex ledger statement acme --kind earnings --from 2026-10-01 --to 2026-11-01",
        "swarmex ledger statement acme --csv > acme.csv",
        "swarmex ledger statement --kind fees",
    )
)
def statement(
    account: Annotated[
        str | None, typer.Argument(help="Name or id; none for the market's own kinds.", show_default=False)
    ] = None,
    kind: Annotated[AccountKind, typer.Option(help="Which of its balances.")] = AccountKind.WALLET,
    since: FromOption = None,
    until: ToOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values, for a spreadsheet.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every movement of a balance with what it was then, in order of time; times are UTC."""
    from backend.services import statements

    if as_csv and as_json:
        raise Invalid("two forms at once", code="invalid_form", field="csv", accepted="--csv or --json")
    start, end = parse_moment(since, "from"), parse_moment(until, "to")
    with market() as wired:
        whose = account_named(wired, account).id if account else None
        with closing(statements.pages(wired.uow(), whose, kind.value, start, end)) as pages:
            if as_json:
                found = list(pages)
                rows = [views.row(row) for page in found for row in page.rows]
                ends = {"opening": found[0].opening_nano, "closing": found[-1].closing_nano}
                facts = {name: format_credits(nano) for name, nano in ends.items()}
                print_json({"account": whose, "kind": kind, "since": start, "until": end, **facts, "rows": rows})
            elif as_csv:
                _write_csv(pages)
            else:
                _print_pages(pages)


def _print_pages(pages: "Iterator[Statement]") -> None:
    last = None
    for page in pages:
        if last is None:
            console().print(f"opening balance  {format_credits(page.opening_nano)}\n")
        if page.rows:
            console().print(views.statement_rows([views.row(row) for row in page.rows]))
        last = page
    if last:
        console().print(f"\nclosing balance  {format_credits(last.closing_nano)}")


def _write_csv(pages: "Iterator[Statement]") -> None:
    """One line per movement, between one of the opening and one of the closing balance."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["time", "transfer", "kind", "order", "reference", "change", "balance"])
    last = None
    for page in pages:
        if last is None:
            out.writerow([page.since or "", "", "opening", "", "", "", format_credits(page.opening_nano)])
        for row in page.rows:
            moved = row.entry.transfer
            facts = [row.entry.created_at, moved.id, moved.kind, moved.order_id, moved.reference]
            out.writerow([*facts, format_credits(row.change_nano), format_credits(row.balance_nano)])
        last = page
    if last:
        out.writerow([last.until or "", "", "closing", "", "", "", format_credits(last.closing_nano)])
