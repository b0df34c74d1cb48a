"""Disputes about what orders were charged."""

from typing import Annotated

import typer

from backend.cli import money_views as views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountOption, AsJson, OrderArgument, examples, group
from backend.cli.output import emit, figures, identity, record, table, words
from backend.domain.disputes import DisputeState
from backend.domain.ids import DisputeId, OrderId
from backend.domain.money import parse_credits

verbs = group("Disputes about what orders were charged.")

DisputeArgument = Annotated[str, typer.Argument(metavar="DISPUTE", help="Id of a dispute.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for both sides and the audit log.")]


@verbs.command(
    "open", epilog=examples("swarmex dispute open 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'all zeros'")
)
def open_dispute(order: OrderArgument, reason: Reason, as_json: AsJson = False) -> None:
    """Contest an order's charges for its account; what its providers still have of them is withheld."""
    from backend import bootstrap
    from backend.services import disputes

    with market() as wired:
        found = OrderId(parse_id_of("order", order))
        made = disputes.open_dispute(wired.uow(), bootstrap.utc_now(), operator(), found, reason)
    document = views.dispute(made)
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex dispute list --state open", "swarmex dispute list --account acme"))
def list_disputes(
    account: AccountOption = None,
    state: Annotated[DisputeState | None, typer.Option(help="Only disputes in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List disputes, the newest first."""
    from backend.services import disputes

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = disputes.list_disputes(wired.uow(), owner, state.value if state else None, limit)
    documents = [views.dispute(dispute) for dispute in found]
    columns = [identity("Dispute"), identity("Order"), words("State"), figures("Withheld"), figures("Refunded")]
    rows = [(d["id"], d["order"], d["state"], d["withheld"], d["refunded"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex dispute show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(dispute: DisputeArgument, as_json: AsJson = False) -> None:
    """Show a dispute."""
    from backend.services import disputes

    with market() as wired:
        made = disputes.show_dispute(wired.uow(), DisputeId(parse_id_of("dispute", dispute)), operator())
    document = views.dispute(made)
    emit(as_json, document, record(document))


@verbs.command(
    epilog=examples(
        "swarmex dispute uphold 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'the node was broken'",
        "swarmex dispute uphold 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'half was right' --amount 0.5",
    )
)
def uphold(
    dispute: DisputeArgument,
    reason: Reason,
    amount: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="Give back so much; all if not said.", show_default=False)
    ] = None,
    from_fund: Annotated[
        bool, typer.Option("--from-fund", help="Let the credits fund pay what providers have not any more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give the buyer back what was contested, or a part of it."""
    from backend import bootstrap
    from backend.services import disputes

    nano = None if amount is None else parse_credits(amount)
    with market() as wired:
        found, now = DisputeId(parse_id_of("dispute", dispute)), bootstrap.utc_now()
        made = disputes.uphold(wired.uow(), now, operator(), found, reason, nano, from_fund)
    document = views.dispute(made)
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex dispute reject 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'ran as asked'"))
def reject(dispute: DisputeArgument, reason: Reason, as_json: AsJson = False) -> None:
    """Let the charges stand; what was withheld goes back to the providers."""
    from backend import bootstrap
    from backend.services import disputes

    with market() as wired:
        found = DisputeId(parse_id_of("dispute", dispute))
        made = disputes.reject(wired.uow(), bootstrap.utc_now(), operator(), found, reason)
    document = views.dispute(made)
    emit(as_json, document, record(document))
