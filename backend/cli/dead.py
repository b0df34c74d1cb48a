"""Dead letters: items out of attempts, and messages that nobody can read."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.connection import market, operator, parse_id_of
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, identity, record, table, words
from backend.domain.dead_letters import DeadLetter, DeathReason, LetterKind
from backend.domain.ids import DeadLetterId, OrderId

if TYPE_CHECKING:
    from collections.abc import Callable

verbs = group("Dead letters: items out of attempts, and messages that nobody can read.")

LetterArgument = Annotated[str, typer.Argument(metavar="LETTER", help="Id of a dead letter.", show_default=False)]
LetterArguments = Annotated[
    list[str], typer.Argument(metavar="LETTER…", help="Ids of dead letters.", show_default=False)
]


@verbs.command(
    "list",
    epilog=examples("swarmex queue dead list", "swarmex queue dead list --kind item --reason failed --all --json"),
)
def list_letters(
    kind: Annotated[LetterKind | None, typer.Option(help="Only of this kind.", show_default=False)] = None,
    reason: Annotated[DeathReason | None, typer.Option(help="Only for this reason.", show_default=False)] = None,
    queue: Annotated[str | None, typer.Option(help="Only from this queue.", show_default=False)] = None,
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="Only items of this order.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are resolved as well.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first; they are kept for 30 days."""
    from backend.services import dead_letters

    wanted = OrderId(parse_id_of("order", order)) if order else None
    with market() as wired:
        found = dead_letters.list_letters(wired.uow(), operator(), kind, reason, queue, wanted, everything, limit)
    columns = [identity("Letter"), words("Died"), words("Kind"), words("Reason"), words("Queue"), figures("Attempts")]
    columns += [words("Error"), words("Resolved")]
    rows = [(x.id, x.died_at, x.kind, x.reason, x.queue, x.attempts, x.error, x.resolution) for x in found]
    emit(as_json, [_document(letter) for letter in found], table(columns, rows))


@verbs.command(epilog=examples("swarmex queue dead show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(letter: LetterArgument, as_json: AsJson = False) -> None:
    """Show a dead letter; of an item's inputs only size and digest."""
    from backend.services import dead_letters

    with market() as wired:
        found = dead_letters.show_letter(wired.uow(), operator(), DeadLetterId(parse_id_of("letter", letter)))
    emit(as_json, _document(found), record(_document(found)))


@verbs.command(epilog=examples("swarmex queue dead retry 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def retry(letters: LetterArguments, as_json: AsJson = False) -> None:
    """Give dead items new attempts, while their orders run; stops at the first that cannot be."""
    from backend.services import dead_letters

    _decide(letters, as_json, dead_letters.retry)


@verbs.command(epilog=examples("swarmex queue dead drop 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def drop(letters: LetterArguments, as_json: AsJson = False) -> None:
    """Let what died rest; stops at the first that cannot be."""
    from backend.services import dead_letters

    _decide(letters, as_json, dead_letters.drop)


def _decide(letters: list[str], as_json: bool, do: "Callable[..., DeadLetter]") -> None:
    from backend import bootstrap

    ids = [DeadLetterId(parse_id_of("letter", letter)) for letter in letters]
    with market() as wired:
        decided = [do(wired.uow(), bootstrap.utc_now(), operator(), letter) for letter in ids]
    columns = [identity("Letter"), words("Kind"), words("Resolved")]
    rows = [(letter.id, letter.kind, letter.resolution) for letter in decided]
    emit(as_json, [_document(letter) for letter in decided], table(columns, rows))


def _document(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "reason": letter.reason,
        "error": letter.error,
        "queue": letter.queue,
        "unit": letter.unit_id,
        "item": letter.item_id,
        "order": letter.order_id,
        "attempts": letter.attempts,
        "size_bytes": letter.size_bytes,
        "sha256": letter.digest,
        "excerpt": letter.excerpt,
        "died_at": letter.died_at,
        "resolution": letter.resolution,
        "resolved_at": letter.resolved_at,
    }
