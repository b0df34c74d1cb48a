"""Regions and how far they are from one another."""

from dataclasses import asdict
from typing import Annotated

import typer

from backend.cli.connection import market, operator
from backend.cli.options import AsJson, NumberLast, examples, group
from backend.cli.output import emit, figures, note, record, table, words

verbs = group("Regions and how far they are from one another.")
Region = Annotated[str, typer.Argument(metavar="REGION", help="Name of a region.", show_default=False)]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="Name of another one.", show_default=False)]


@verbs.command("list", epilog=examples("swarmex region list", "swarmex region list --json"))
def list_links(as_json: AsJson = False) -> None:
    """List the distances that are known; regions without one count as 100 ms apart."""
    from backend.services import regions

    with market() as wired:
        documents = [asdict(link) for link in regions.list_links(wired.uow())]
    columns = [words("Region"), words("Other"), figures("ms")]
    emit(as_json, documents, table(columns, [tuple(document.values()) for document in documents]))


@verbs.command("link", cls=NumberLast, epilog=examples("swarmex region link eu-1 eu-2 12"))
def link(
    region: Region,
    other: Other,
    latency_ms: Annotated[int, typer.Argument(metavar="MS", help="Milliseconds, there and back.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """State how far two regions are apart: orders that may leave theirs go by it and by prices."""
    from backend import bootstrap
    from backend.services import markets, regions

    with market() as wired:
        made = regions.put_link(wired.uow(), bootstrap.utc_now(), operator(), region, other, latency_ms)
        known = {found.region for found in markets.known_markets(wired.uow())}
    document = asdict(made)
    emit(as_json, document, record(document))
    for name in (made.region, made.other):
        if name not in known and not as_json:
            note(f"No node is in {name} yet. `swarmex region unlink {made.region} {made.other}` undoes this.")


@verbs.command("unlink", epilog=examples("swarmex region unlink eu-1 eu-2", "swarmex region unlink eu-1 eu-2 --json"))
def unlink(region: Region, other: Other, as_json: AsJson = False) -> None:
    """Forget how far two regions are apart: they count as 100 ms again."""
    from backend import bootstrap
    from backend.services import regions

    with market() as wired:
        was = regions.drop_link(wired.uow(), bootstrap.utc_now(), operator(), region, other)
    document = asdict(was)
    emit(as_json, document, record(document))
