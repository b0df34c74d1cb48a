"""The first step: servers, schema and somebody who may operate the market."""

from typing import TYPE_CHECKING

from backend.cli import servers
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, note, record
from backend.domain.access import Role
from backend.domain.errors import Conflict

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex

EXAMPLES = examples("swarmex init", "SWARMEX_DATA_FOLDER=/srv/market swarmex init --json")
OPERATOR = "operator"
KEY_HINT = f"`swarmex key create {OPERATOR} --role admin` makes an admin key"


def init(as_json: AsJson = False) -> None:
    """Start the servers, bring the schema up to date, open the operator's account.

    Servers are started only if none are configured. The first time it prints an admin key; again it changes nothing.
    """
    from backend import bootstrap

    settings = bootstrap.settings()
    market, started = servers.start(settings)
    try:
        secret = first_admin_key(market)
        document = {
            "folder": str(settings.folder),
            "servers": "started" if started else "were up",
            "schema": market.schema_revision(),
            "account": OPERATOR,
            "admin_key": secret,
        }
    finally:
        market.close()
    emit(as_json, document, record({name: fact for name, fact in document.items() if fact}))
    if not as_json:
        note("Keep the admin key: it is not shown again." if secret else f"{KEY_HINT}.")


def first_admin_key(market: "Swarmex") -> str | None:
    """Open the operator's account and make its first key; None when it had been opened before."""
    from backend import bootstrap
    from backend.services import accounts, api_keys

    now = bootstrap.utc_now()
    try:
        account = accounts.create_account(market.uow(), now, OPERATOR)
    except Conflict:
        return None
    return api_keys.create_key(market.uow(), now, account.id, Role.ADMIN, "first").secret
