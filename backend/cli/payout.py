"""Payouts of what providers earned."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from backend.cli import money_views as views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountArgument, AccountOption, AsJson, examples, group
from backend.cli.output import emit, figures, identity, record, table, words
from backend.domain.ids import PayoutId
from backend.domain.money import parse_credits
from backend.domain.payouts import Payout, PayoutState

verbs = group("Payouts of what providers earned.")

PayoutArgument = Annotated[str, typer.Argument(metavar="PAYOUT", help="Id of a payout.", show_default=False)]


@verbs.command(epilog=examples("swarmex payout request rack-owner 25 --destination DE02120300000000202051"))
def request(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Credits as a decimal string.")],
    destination: Annotated[str, typer.Option(help="Where to, as a bank needs it.")],
    as_json: AsJson = False,
) -> None:
    """Ask for a part of an account's earnings; it is held until it is decided."""
    from backend import bootstrap
    from backend.services import payouts

    nano = parse_credits(amount)
    with market() as wired:
        owner = operator(account_named(wired, account).id)
        made = payouts.request_payout(wired.uow(), bootstrap.utc_now(), owner, nano, destination)
    document = views.payout(made)
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex payout list --state requested", "swarmex payout list --account acme"))
def list_payouts(
    account: AccountOption = None,
    state: Annotated[PayoutState | None, typer.Option(help="Only payouts in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List payouts, the newest first."""
    from backend.services import payouts

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = payouts.list_payouts(wired.uow(), owner, state.value if state else None, limit)
    documents = [views.payout(payout) for payout in found]
    columns = [identity("Payout"), identity("Account"), figures("Amount"), words("State"), words("Reference")]
    rows = [(d["id"], d["account"], d["amount"], d["state"], d["reference"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex payout show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(payout: PayoutArgument, as_json: AsJson = False) -> None:
    """Show a payout."""
    from backend.services import payouts

    with market() as wired:
        made = payouts.show_payout(wired.uow(), PayoutId(parse_id_of("payout", payout)), operator())
    document = views.payout(made)
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex payout approve 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def approve(payout: PayoutArgument, as_json: AsJson = False) -> None:
    """Say that a payout may be paid."""
    from backend.services import payouts

    _step(payout, as_json, payouts.approve_payout)


@verbs.command(epilog=examples("swarmex payout post 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reference SEPA-0042"))
def post(
    payout: PayoutArgument,
    reference: Annotated[str, typer.Option(help="The bank's own id of the payment: it is booked once.")],
    as_json: AsJson = False,
) -> None:
    """Book that an approved payout was paid."""
    from backend.services import payouts

    _step(payout, as_json, partial(payouts.post_payout, reference=reference))


@verbs.command(epilog=examples("swarmex payout reject 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'no such bank'"))
def reject(
    payout: PayoutArgument,
    reason: Annotated[str, typer.Option(help="Why, for the provider and the audit log.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a payout that is not posted; its hold is released."""
    from backend.services import payouts

    _step(payout, as_json, partial(payouts.reject_payout, reason=reason))


@verbs.command(epilog=examples("swarmex payout cancel 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def cancel(payout: PayoutArgument, as_json: AsJson = False) -> None:
    """Take a request back before it is approved; its hold is released."""
    from backend.services import payouts

    _step(payout, as_json, payouts.cancel_payout)


def _step(payout: str, as_json: bool, do: Callable[..., Payout]) -> None:
    """What the operator does to a payout, and what becomes of it."""
    from backend import bootstrap

    with market() as wired:
        found = PayoutId(parse_id_of("payout", payout))
        document = views.payout(do(wired.uow(), bootstrap.utc_now(), operator(), found))
    emit(as_json, document, record(document))
