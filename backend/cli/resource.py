"""Resources that one agent at a time holds."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, record, table, words

if TYPE_CHECKING:
    from datetime import datetime

    from backend.domain.coordination import NamedLease

verbs = group("Resources that one agent at a time holds.")


@verbs.command("list", epilog=examples("swarmex resource list", "swarmex resource list settlement. --json"))
def list_resources(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="How names begin; all without it.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List resources and who holds them; the fence counts their holders, and only writes of the last one go through."""
    from backend import bootstrap
    from backend.services import coordination

    with market() as wired:
        now = bootstrap.utc_now()
        documents = [_view(lease, now) for lease in coordination.list_resources(wired.uow(), prefix, limit)]
    columns = [words("Resource"), words("State"), words("Holder"), figures("Fence"), words("Until")]
    rows = [tuple(document.values()) for document in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex resource release settlement.audit", "swarmex resource release x --json"))
def release(
    name: Annotated[str, typer.Argument(metavar="RESOURCE", help="Name of a resource.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Take a resource from its holder, whose writes are refused from now on; whoever asks next gets it."""
    from backend import bootstrap
    from backend.services import coordination

    with market() as wired:
        was = coordination.take_away(wired.uow(), bootstrap.utc_now(), operator(), name)
    document = {"name": was.name, "released": True, "holder": was.holder, "fence": was.fence}
    emit(as_json, document, record(document))


def _view(lease: "NamedLease", now: "datetime") -> dict[str, Any]:
    late = lease.expires_at is not None and lease.expires_at <= now
    return {
        "name": lease.name,
        "state": "free" if lease.holder is None else "ran out" if late else "held",
        "holder": lease.holder,
        "fence": lease.fence,
        "expires_at": lease.expires_at,
    }
