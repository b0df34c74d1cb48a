"""API keys: made for an account with a role, shown once, revoked by their id."""

from typing import Annotated

import typer

from backend.cli import key_limits, views
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountArgument, AsJson, examples, group
from backend.cli.output import emit, identity, note, record, table, words
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
    from backend.services import api_keys

    with market() as wired:
        owner = account_named(wired, account)
        document = views.key(api_keys.create_key(wired.uow(), bootstrap.utc_now(), owner.id, role, label))
    emit(as_json, document, record(document))
    if not as_json:
        note("Keep the secret: it is not shown again.")


@verbs.command("list", epilog=examples("swarmex key list acme", "swarmex key list acme --revoked --json"))
def list_keys(
    account: AccountArgument,
    revoked: Annotated[bool, typer.Option("--revoked", help="Those that were revoked, too.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the keys of an account, the newest first: what they may do and what they are for, not their secrets."""
    from backend.services import api_keys

    with market() as wired:
        owner = account_named(wired, account)
        found = api_keys.list_keys(wired.uow(), operator(), owner.id, limit, revoked=revoked)
    documents = [views.listed_key(key) for key in found]
    columns = [identity("Key"), words("Role"), words("Label"), words("Member"), words("Created"), words("Revoked")]
    names = ("key_id", "role", "label", "member_name", "created_at", "revoked_at")
    shown = columns if revoked else columns[:-1]
    emit(as_json, documents, table(shown, [[d[name] for name in names[: len(shown)]] for d in documents]))
    if not as_json and not documents:
        note(f"`swarmex key create {account}` makes one.")
    elif not as_json and len(documents) == limit:
        note(f"There may be more: `--limit` shows up to {api_keys.LIST_MAX}.")


@verbs.command(epilog=examples("swarmex key revoke 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Its id, as `key list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End a key; within half a second it opens nothing any more."""
    from backend import bootstrap
    from backend.services import api_keys

    with market() as wired:
        found = KeyId(parse_id_of("key", key_id))
        api_keys.revoke_key(wired.uow(), bootstrap.utc_now(), found, operator())
    document = {"key_id": found, "revoked": True}
    emit(as_json, document, record(document))
