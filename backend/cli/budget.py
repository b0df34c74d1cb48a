"""Budgets: what accounts may set aside, and how much of it they have."""

from typing import Annotated, Any
from uuid import UUID

import typer

from backend.cli import budget_views, views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.live import check_watch, keep_showing
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import emit
from backend.domain.budgets import BudgetMode, BudgetPeriod
from backend.domain.errors import Invalid
from backend.domain.ids import BudgetId
from backend.domain.money import parse_credits
from backend.domain.tiers import TierName

verbs = group("Budgets: what accounts may set aside, per request, job, day or month.")

Account = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Name or id of an account.")]


@verbs.command(
    "set",
    epilog=examples(
        "swarmex budget set 20 --account acme --period month",
        "swarmex budget set 5 --account lab --member ana --period day --timezone Europe/Berlin",
        "swarmex budget set 0.5 --account acme --period request --tier large --soft",
        "swarmex budget set 15 --everyone --period day --tier small",
    ),
)
def set_budget(
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="As in 20 or 0.5; 0 forbids.")],
    period: Annotated[BudgetPeriod, typer.Option(help="Each request or job, or all of a day or month.")],
    account: AccountOption = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Every account by itself.")] = False,
    tier: Annotated[TierName | None, typer.Option(help="Only in this tier.", show_default=False)] = None,
    member: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Only what this member spends.", show_default=False)
    ] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Tell, but do not refuse.")] = False,
    timezone: Annotated[str, typer.Option(help="Where days and months begin.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Limit what an account sets aside; a budget for the same gets the new limit."""
    from backend import bootstrap
    from backend.services import budgets

    if everyone == (account is not None):
        raise Invalid(
            "whose budget is it?", code="invalid_account", field="account", accepted="either --account or --everyone"
        )
    with market() as wired:
        owner = account_named(wired, account).id if account else None
        wish = budgets.BudgetWish(
            period.value,
            parse_credits(amount, "amount", zero=True),
            tier.value if tier else None,
            account_named(wired, member).id if member else None,
            BudgetMode.SOFT if soft else BudgetMode.HARD,
            timezone,
        )
        document = views.budget(budgets.set_budget(wired.uow(), bootstrap.utc_now(), operator(), owner, wish))
    emit(as_json, document, budget_views.budget(document))


@verbs.command(
    "list", epilog=examples("swarmex budget list --account acme", "swarmex budget list --account lab --watch")
)
def list_budgets(
    account: Account,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what an account is held to and what of it is used; the tiers' monthly caps are everybody's."""
    from backend import bootstrap
    from backend.services import budgets, organisations

    check_watch(watch, as_json)
    with market() as wired:
        owner = account_named(wired, account)
        members = organisations.list_members(wired.uow(), owner.id)
        names: dict[UUID, str] = {member.account_id: member.name for member in members}

        def look() -> list[dict[str, Any]]:
            return [views.budget(b) for b in budgets.list_budgets(wired.uow(), bootstrap.utc_now(), owner.id)]

        if watch:
            keep_showing(lambda: budget_views.budgets(look(), names))
        documents = look()
        emit(as_json, documents, budget_views.budgets(documents, names))


@verbs.command(epilog=examples("swarmex budget end 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def end(
    budget: Annotated[str, typer.Argument(metavar="BUDGET", help="The id that `budget list` shows.")],
    as_json: AsJson = False,
) -> None:
    """Let a budget limit nothing any more."""
    from backend import bootstrap
    from backend.services import budgets

    with market() as wired:
        ended = BudgetId(parse_id_of("budget", budget))
        document = views.budget(budgets.end_budget(wired.uow(), bootstrap.utc_now(), operator(), ended))
    emit(as_json, document, budget_views.budget(document))


@verbs.command(epilog=examples("swarmex budget alerts", "swarmex budget alerts --account acme --json"))
def alerts(
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List thresholds (80, 90, 100 %) that budgets and wallets went over, the newest first."""
    from backend.services import alerts as told

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        documents = [views.alert(alert) for alert in told.list_alerts(wired.uow(), owner, limit)]
    emit(as_json, documents, budget_views.alerts(documents, account))
