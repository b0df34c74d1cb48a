"""Accounts: a wallet that pays for work, and earnings that nodes bring in."""

from typing import Annotated

import typer

from backend.cli import views
from backend.cli.connection import account_named, market
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, figures, note, record, table, words

verbs = group("Accounts and their money.")


@verbs.command(epilog=examples("swarmex account create acme", "swarmex account create acme --json"))
def create(name: AccountArgument, as_json: AsJson = False) -> None:
    """Open an account with an empty wallet."""
    from backend import bootstrap
    from backend.services import accounts

    with market() as wired:
        document = views.account(accounts.create_account(wired.uow(), bootstrap.utc_now(), name))
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex account list", "swarmex account list --search lab --json"))
def list_accounts(
    search: Annotated[str | None, typer.Option(help="A part of their names.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List accounts and their money, the newest first; organisations are accounts too."""
    from backend.services import accounts

    with market() as wired:
        documents = [views.account(view) for view in accounts.list_accounts(wired.uow(), search, limit)]
    money = ("wallet", "reserved", "available", "earnings", "withheld")
    columns = [words("Account"), words("Type"), *(figures(name.capitalize()) for name in money), words("Created")]
    rows = [[d[name] for name in ("name", "type", *money, "created_at")] for d in documents]
    emit(as_json, documents, table(columns, rows))
    if not as_json and not documents:
        note(f"No account has {search!r} in its name." if search else "`swarmex account create acme` opens one.")
    elif not as_json and len(documents) == limit:
        note(f"There may be more: `--limit` shows up to {accounts.LIST_MAX}, `--search` fewer.")


@verbs.command(epilog=examples("swarmex account show acme"))
def show(account: AccountArgument, as_json: AsJson = False) -> None:
    """Show an account's wallet, what of it is reserved, and its earnings, in credits."""
    with market() as wired:
        document = views.account(account_named(wired, account))
    emit(as_json, document, record(document))
