"""What puts the books right: reversals, and payments by the market's credits fund. Verbs of `swarmex ledger`."""

from typing import Annotated

import typer

from backend.cli import money_views as views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, record
from backend.domain.ids import OrderId, TransferId
from backend.domain.money import format_credits, parse_credits

verbs = group("Corrections.")


@verbs.command(
    epilog=examples(
        "swarmex ledger reverse 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'booked twice'",
        "swarmex ledger reverse 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'wrong price' --instead 0.5 --yes",
    )
)
def reverse(
    transfer: Annotated[str, typer.Argument(metavar="TRANSFER", help="Id of a transfer.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")],
    with_fee: Annotated[bool, typer.Option("--with-fee", help="Of a charge: also the fee on it.")] = False,
    instead: Annotated[
        str | None,
        typer.Option(metavar="CREDITS", help="What charge and fee together should have been.", show_default=False),
    ] = None,
    from_fund: Annotated[
        bool, typer.Option("--from-fund", help="Let the credits fund pay what the payee has not any more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Undo a transfer, whole and once, by its mirror; or put a smaller charge in its place."""
    from backend import bootstrap
    from backend.services import corrections, statements

    found = TransferId(parse_id_of("transfer", transfer))
    amount = None if instead is None else parse_credits(instead, "instead")
    with market() as wired:
        if not yes:
            entry = views.transfer(statements.show_transfer(wired.uow(), found, operator()))
            typer.confirm(f"Reverse this {entry['kind']} of {entry['amount']} credits?", abort=True, err=True)
        now, uow = bootstrap.utc_now(), wired.uow()
        if amount:
            made = corrections.replace_charge(uow, now, operator(), found, amount, reason, from_fund)
        else:
            made = corrections.reverse(uow, now, operator(), found, reason, with_fee, from_fund)
    document = {"transfers": [t.id for t in made.transfers], "from_fund": format_credits(made.from_fund_nano)}
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex ledger fund 50 --source fees --reference 2026-10"))
def fund(
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Credits as a decimal string.")],
    source: Annotated[str, typer.Option(metavar="fees|world", help="The market's fees, or money from outside.")],
    reference: Annotated[str, typer.Option(help="Its own id: it is booked once, however often this is repeated.")],
    as_json: AsJson = False,
) -> None:
    """Fill the credits fund, out of which refunds are paid."""
    from backend import bootstrap
    from backend.services import credits

    nano = parse_credits(amount)
    with market() as wired:
        made = credits.fund(wired.uow(), bootstrap.utc_now(), operator(), nano, source, reference)
    document = {
        "transfer_id": made.transfer_id,
        "amount": format_credits(made.amount_nano),
        "source": made.source,
        "reference": made.reference,
        "available": format_credits(made.available_nano),
        "repeated": made.repeated,
    }
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex ledger refund acme 2.5 --reason 'sorry for the outage'"))
def refund(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Credits as a decimal string.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")],
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="Which of its orders it is for.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pay a buyer out of the credits fund."""
    from backend import bootstrap
    from backend.services import credits

    nano, about = parse_credits(amount), OrderId(parse_id_of("order", order)) if order else None
    with market() as wired:
        owner = account_named(wired, account)
        made = credits.refund(wired.uow(), bootstrap.utc_now(), operator(), owner.id, nano, reason, about)
    document = {
        "transfer_id": made.transfer_id,
        "account": made.account_id,
        "order": made.order_id,
        "amount": format_credits(made.amount_nano),
    }
    emit(as_json, document, record(document))
