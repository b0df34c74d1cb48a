"""The audit log: who did what."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import account_named, market, parse_id_of
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, table, words
from backend.domain.ids import LogId
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.storage.log import Told

verbs = group("The audit log: who did what.")
OPERATOR = "(operator)"
NANO = "_nano"


@verbs.command(
    "list",
    epilog=examples(
        "swarmex log list",
        "swarmex log list --actor acme --action payout.",
        "swarmex log list --subject 'node 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b' --json",
    ),
)
def list_entries(
    actor: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Who did it: name or id.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="To what: a kind as in payout, or kind and id.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="What, as in payout.approve; payout. is all of these.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="ENTRY", help="Older than that entry.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what was done to money and access, the newest first; entries cannot be changed."""
    from backend.services import log

    following = LogId(parse_id_of("entry", before)) if before else None
    with market() as wired:
        who = account_named(wired, actor).id if actor else None
        documents = [view(told) for told in log.list_entries(wired.uow(), who, subject, action, limit, following)]
    rows = [(d["at"], d["actor_name"] or OPERATOR, d["action"], d["subject"], _said(d["details"])) for d in documents]
    emit(as_json, documents, table([words(name) for name in ("At", "Who", "Did", "To", "Details")], rows))


def view(told: "Told") -> dict[str, Any]:
    """An entry, as in the HTTP API."""
    return {
        "id": told.id,
        "at": told.at,
        "actor": told.actor_id,
        "actor_name": told.actor,
        "key": told.key_id,
        "action": told.action,
        "subject": told.subject,
        "details": told.details,
    }


def _said(details: dict[str, Any]) -> str:
    """Details in words; amounts in credits, and nothing of what there is not."""
    return ", ".join(_fact(name, value) for name, value in details.items() if value is not None)


def _fact(name: str, value: Any) -> str:
    if name.endswith(NANO):
        return f"{name.removesuffix(NANO)} {format_credits(value)}"
    return f"{name} {' '.join(str(part) for part in value) if isinstance(value, list) else value}"
