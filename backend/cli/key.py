"""API keys: made for an account with a role, shown once, revoked by their id."""

from typing import Annotated

import typer

from backend.cli import key_limits, views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, note, record
from backend.domain.access import Role
from backend.domain.ids import KeyId

verbs = group("API keys.")
verbs.command("limits", epilog=key_limits.EXAMPLES)(key_limits.limits)

RoleOption = Annotated[Role, typer.Option(help="What the key may do: buy, also sell, or also operate the market.")]
Label = Annotated[str, typer.Option(help="A note of what the key is for.", show_default=False)]


@verbs.command(
    epilog=examples("swarmex key create acme", "export SWARMEX_KEY=$(swarmex key create acme --json | jq -r .secret)")
)
def create(account: AccountArgument, role: RoleOption = Role.USER, label: Label = "", as_json: AsJson = False) -> None:
    """Make an API key; its secret is shown this once and kept nowhere."""
    from backend import bootstrap
    from backend.services import accounts

    with market() as wired:
        owner = account_named(wired, account)
        document = views.key(accounts.create_key(wired.uow(), bootstrap.utc_now(), owner.id, role, label))
    emit(as_json, document, record(document))
    if not as_json:
        note("Keep the secret: it is not shown again.")


@verbs.command(epilog=examples("swarmex key revoke 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The id that `key create` printed.")],
    as_json: AsJson = False,
) -> None:
    """End a key; within half a second it opens nothing any more."""
    from backend import bootstrap
    from backend.services import accounts

    with market() as wired:
        found = KeyId(parse_id_of("key", key_id))
        accounts.revoke_key(wired.uow(), bootstrap.utc_now(), found, operator())
    document = {"key_id": found, "revoked": True}
    emit(as_json, document, record(document))
