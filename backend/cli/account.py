"""Accounts: a wallet that pays for work, and earnings that nodes bring in."""

from backend.cli import views
from backend.cli.connection import account_named, market
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, record

verbs = group("Accounts and their money.")


@verbs.command(epilog=examples("swarmex account create acme", "swarmex account create acme --json"))
def create(name: AccountArgument, as_json: AsJson = False) -> None:
    """Open an account with an empty wallet."""
    from backend import bootstrap
    from backend.services import accounts

    with market() as wired:
        document = views.account(accounts.create_account(wired.uow(), bootstrap.utc_now(), name))
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex account show acme"))
def show(account: AccountArgument, as_json: AsJson = False) -> None:
    """Show an account's wallet, what of it is reserved, and its earnings, in credits."""
    with market() as wired:
        document = views.account(account_named(wired, account))
    emit(as_json, document, record(document))
