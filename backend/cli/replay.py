"""`swarmex market replay`: clearings computed again from their sealed books."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import market, operator, parse_id_of
from backend.cli.options import AsJson
from backend.cli.output import emit, figures, identity, note, notes, table, words
from backend.domain.errors import Invalid
from backend.domain.ids import EpochId
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.services.epochs import Replay

EXAMPLES = (
    "swarmex market replay --last 20",
    "swarmex market replay 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
    "swarmex market replay --last 1000 --json",
)
_MEANINGS = {
    "equal": "the book is the published one, and gives the same trades",
    "different": "the book gives other trades than were decided",
    "other_book": "the book that is kept is not the published one",
    "other_rules": "it was cleared by another version of the rules",
    "not_kept": "its book is older than 30 days",
}
_ALARMS = {"different", "other_book"}


def replay(
    epoch: Annotated[str | None, typer.Argument(metavar="EPOCH", help="Id of a clearing.", show_default=False)] = None,
    last: Annotated[int | None, typer.Option("--last", metavar="N", help="The newest N.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Compute clearings again and prove them equal to what was decided; exit code 1 if one is different.

    A clearing whose book is not kept any more, or that other rules made, proves nothing: its verdict says so.
    """
    from rich.progress import Progress

    from backend.services import epochs

    if (epoch is None) == (last is None):
        raise Invalid("which clearing?", code="invalid_epoch", field="epoch", accepted="an EPOCH, or --last N")
    with market() as wired:
        if epoch is not None:
            found = [epochs.replay(wired.uow(), operator(), EpochId(parse_id_of("epoch", epoch)))]
        else:
            with Progress(console=notes(), transient=True, disable=not notes().is_terminal) as progress:
                bar = progress.add_task("clearings", total=None)
                found = epochs.replay_last(
                    wired.uow(),
                    operator(),
                    last or 0,
                    lambda done, total: progress.update(bar, completed=done, total=total),
                )
    documents = [view(one) for one in found]
    columns = [identity("Epoch"), words("Market"), words("Mechanism"), figures("Orders"), figures("Offers")]
    columns += [figures("Trades"), figures("Price"), words("Verdict")]
    rows = [
        (d["id"], d["market"], d["mechanism"], d["orders"], d["offers"], d["decided"], d["price"], d["verdict"])
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))
    if not as_json:
        for verdict in sorted({d["verdict"] for d in documents}):
            note(f"{sum(d['verdict'] == verdict for d in documents)} × {verdict}: {_MEANINGS[verdict]}")
    if _ALARMS & {d["verdict"] for d in documents}:
        raise typer.Exit(1)


def view(found: "Replay") -> dict[str, Any]:
    """A replay, flat."""
    epoch = found.epoch
    return {
        "id": epoch.id,
        "market": str(epoch.market),
        "mechanism": epoch.mechanism,
        "rules": epoch.rules,
        "orders": epoch.orders,
        "offers": epoch.offers,
        "price": None if epoch.price_nano is None else format_credits(epoch.price_nano),
        "book_digest": epoch.book_digest.hex(),
        "cleared_at": epoch.cleared_at,
        "decided": found.decided,
        "computed": found.computed,
        "verdict": found.verdict,
    }
