"""Invoices and credit notes: drafted, issued, paid, printed; and statements of what providers earned."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import bill_views as views
from backend.cli import billing
from backend.cli.billing import InvoiceArgument
from backend.cli.connection import account_named, document_named, market, operator
from backend.cli.options import AccountArgument, AccountOption, AsJson, examples, group
from backend.cli.output import emit
from backend.cli.periods import FirstOption, MonthOption, TimezoneOption, UntilOption, asked
from backend.domain.billing import DocumentKind, DocumentState

if TYPE_CHECKING:
    from backend.services.documents import Bill

verbs = group("Invoices, credit notes, and statements of earnings.")
verbs.add_typer(billing.verbs)


@verbs.command(
    "list", epilog=examples("swarmex invoice list --account acme", "swarmex invoice list --state final --limit 20")
)
def list_invoices(
    account: AccountOption = None,
    kind: Annotated[DocumentKind | None, typer.Option(help="Only these.", show_default=False)] = None,
    state: Annotated[DocumentState | None, typer.Option(help="Only documents in this state.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List invoices and credit notes, the newest first."""
    from backend.services import documents

    with market() as wired:
        whose = account_named(wired, account).id if account else None
        found = documents.list_documents(
            wired.uow(), whose, kind.value if kind else None, state.value if state else None, limit
        )
        names = documents.names_of(wired.uow(), found)
    emit(as_json, [views.summary(document) for document in found], views.summaries_shown(found, names))


@verbs.command(epilog=examples("swarmex invoice show INV-2026-000001", "swarmex invoice show INV-2026-000001 --json"))
def show(invoice: InvoiceArgument, as_json: AsJson = False) -> None:
    """Show an invoice or credit note with its lines."""
    from backend.services import documents

    with market() as wired:
        made = documents.show_document(wired.uow(), document_named(wired, invoice), operator())
    _emit(as_json, made)


@verbs.command(
    epilog=examples(
        "swarmex invoice draft acme --month 2026-10",
        "swarmex invoice draft acme --month 2026-10 --timezone Europe/Berlin",
        "swarmex invoice draft acme --from 2026-10-01 --to 2026-10-16",
    )
)
def draft(
    account: AccountArgument,
    month: MonthOption = None,
    first: FirstOption = None,
    end: UntilOption = None,
    timezone: TimezoneOption = "UTC",
    as_json: AsJson = False,
) -> None:
    """Make the draft of an account and period, or bring it up to date; without a period, this month's."""
    from backend import bootstrap
    from backend.services import invoicing

    now = bootstrap.utc_now()
    period = asked(now, timezone, month, first, end)
    with market() as wired:
        whose = account_named(wired, account).id
        made = invoicing.draft(wired.uow(), now, operator(), whose, period)
    _emit(as_json, made)


@verbs.command(epilog=examples("swarmex invoice finalise 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def finalise(invoice: InvoiceArgument, as_json: AsJson = False) -> None:
    """Issue a draft whose period is over, under the next number; twice is once."""
    from backend.services import invoicing

    _step(invoice, as_json, invoicing.finalise)


@verbs.command(epilog=examples("swarmex invoice pay INV-2026-000001 --reference SEPA-0042"))
def pay(
    invoice: InvoiceArgument,
    reference: Annotated[str, typer.Option(help="The payment's own id.")],
    as_json: AsJson = False,
) -> None:
    """Record that a document was settled outside."""
    from backend.services import documents

    _step(invoice, as_json, partial(documents.pay, reference=reference))


@verbs.command(epilog=examples("swarmex invoice void INV-2026-000001 --reason 'wrong address'"))
def void(
    invoice: InvoiceArgument,
    reason: Annotated[str, typer.Option(help="Why, for the account and the audit log.")],
    as_json: AsJson = False,
) -> None:
    """Make an issued document void; its period may be billed anew, under another number."""
    from backend.services import documents

    _step(invoice, as_json, partial(documents.void, reason=reason))


@verbs.command(epilog=examples("swarmex invoice credit INV-2026-000001"))
def credit(invoice: InvoiceArgument, as_json: AsJson = False) -> None:
    """Issue a credit note over what was reversed, since, of an issued invoice."""
    from backend.services import credit_notes

    _step(invoice, as_json, credit_notes.credit_note)


def _step(invoice: str, as_json: bool, do: "Callable[..., Bill]") -> None:
    """What the operator does to a document, and what becomes of it."""
    from backend import bootstrap

    with market() as wired:
        made = do(wired.uow(), bootstrap.utc_now(), operator(), document_named(wired, invoice))
    _emit(as_json, made)


def _emit(as_json: bool, made: "Bill") -> None:
    emit(as_json, views.bill(made), views.bill_shown(made))
