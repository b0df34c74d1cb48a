"""The way from a verb to the services: the data folder's deployment, and things by the names that people type."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from backend.cli.output import note
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound, SwarmexError, Unavailable
from backend.domain.ids import AccountId, DocumentId

if TYPE_CHECKING:
    from backend.bootstrap import Settings, Swarmex
    from backend.services.accounts import AccountView
    from backend.storage.nodes import Node


@contextmanager
def market() -> Iterator["Swarmex"]:
    """The deployment of this data folder; its embedded servers are started when they are down."""
    from backend import bootstrap

    settings = bootstrap.settings()
    quiet_logs(settings)
    wired = _connect(settings)
    try:
        yield wired
    finally:
        wired.close()


def quiet_logs(settings: "Settings") -> None:
    """Let through what the operator should see: a verb's answer says the rest."""
    import structlog

    from backend import bootstrap

    if not structlog.is_configured():  # else whoever called us has decided
        bootstrap.configure_logging("WARNING" if settings.log_level.upper() == "INFO" else settings.log_level)


def is_embedded(settings: "Settings") -> bool:
    """Whether servers of the data folder stand in for at least one that is not configured."""
    return not (settings.database_url and settings.redis_url)


def _connect(settings: "Settings") -> "Swarmex":
    from backend import bootstrap

    if is_embedded(settings):
        if not settings.folder.is_dir():  # a mistyped folder must not become a new market
            raise Unavailable(
                f"there is no market in {settings.folder}",
                code="not_initialised",
                field="SWARMEX_DATA_FOLDER",
                accepted="the data folder of a market, .swarmex in this folder unless set",
            )
        try:
            bootstrap.connect(settings, start_servers=False).close()
        except Unavailable:
            note(f"Starting PostgreSQL and Redis in {settings.folder}; `swarmex down` stops them.")
    try:
        return bootstrap.connect(settings)
    except SwarmexError as error:
        return _without_redis(settings, error)


def _without_redis(settings: "Settings", error: SwarmexError) -> "Swarmex":
    """What the database alone is enough for need not wait for a Redis that hangs; raises `error` if that is not it."""
    from backend import bootstrap

    try:
        wired = bootstrap.connect(settings, without_redis=True)
    except Unavailable:
        raise error from None
    note(
        f"Redis does not answer, this goes on without it: {error.message.splitlines()[0]} `swarmex doctor` tells more."
    )
    return wired


def operator(account_id: AccountId | None = None) -> Principal:
    """Who sits at the machine itself: an admin, who acts for an account where the verb names one."""
    return Principal(None, account_id or AccountId(UUID(int=0)), Role.ADMIN)


def parse_id(text: str) -> UUID | None:
    """The id that `text` is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def parse_id_of(what: str, text: str) -> UUID:
    """The id of a thing that has no name; raises Invalid."""
    found = parse_id(text)
    if found is None:
        raise Invalid(f"{what} {text!r} is not an id", code=f"invalid_{what}", field=what, accepted="a UUID")
    return found


def account_named(wired: "Swarmex", text: str) -> "AccountView":
    """The account of that name or id; raises NotFound."""
    from backend.services import accounts

    return accounts.show_account(wired.uow(), parse_id(text) or text)


def document_named(wired: "Swarmex", text: str) -> DocumentId:
    """The invoice or credit note of that number or id; raises NotFound for a number that nothing has."""
    from backend.services import documents

    found = parse_id(text)
    return DocumentId(found) if found else documents.numbered(wired.uow(), text)


def node_named(wired: "Swarmex", text: str, account: str | None = None) -> "Node":
    """The node of that id, or of that name in an account; raises NotFound, or Conflict if several are called so."""
    from backend import bootstrap
    from backend.services import nodes

    owner = account_named(wired, account).id if account else None
    wanted: str | UUID = parse_id(text) or text
    found = [n for n in nodes.list_nodes(wired.uow(), bootstrap.utc_now(), owner) if wanted in (n.id, n.name)]
    if not found:
        raise NotFound("node", text, accepted="the name or id of a node")
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} nodes are called {text}",
            code="ambiguous_node",
            field="node",
            accepted=", ".join(str(node.id) for node in found),
        )
    return found[0]
