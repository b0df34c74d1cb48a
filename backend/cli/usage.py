"""Usage that other systems report: imported from files, looked at, taken back."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli import metering_views as views
from backend.cli.bars import Bars
from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.event_files import Line, lines, opened
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import console, emit, figures, identity, note, notes, print_json, record, table, words
from backend.domain.errors import SwarmexError
from backend.domain.ids import UsageId
from backend.domain.metering import UsageState

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex

verbs = group("Usage that other systems report.")

UsageArgument = Annotated[str, typer.Argument(metavar="USAGE", help="Id of usage.", show_default=False)]

BATCH = 500
REFUSALS_SHOWN_MAX = 20


@verbs.command(
    "import", epilog=examples("swarmex usage import october.jsonl", "cat events.json | swarmex usage import - --json")
)
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CloudEvents, one a line or one JSON array; - is standard input.")
    ],
    as_json: AsJson = False,
) -> None:
    """Bill the events of a file, each once: after an interruption, just import it again. Exit 1 if any is refused."""
    counts: Counter[str] = Counter()
    refusals: list[dict[str, Any]] = []
    with market() as wired, opened(file) as source, Bars(notes()) as bars:
        size = file.stat().st_size if file.is_file() else None
        read = lines(source)
        while batch := list(islice(read, BATCH)):
            for line, word, refusal in _ingested(wired, batch):
                counts[word] += 1
                if refusal and len(refusals) < REFUSALS_SHOWN_MAX:
                    refusals.append(_refused(line, refusal))
            bars.tell("events", batch[-1].read_bytes, size)
    document = {
        "events": counts.total(),
        **{state.value: counts[state] for state in (UsageState.CHARGED, UsageState.UNPAID, UsageState.FREE)},
        **{word: counts[word] for word in ("duplicate", "refused")},
        "refusals": refusals,
    }
    _told(as_json, document)
    if counts["refused"]:
        raise typer.Exit(1)


def _ingested(wired: "Swarmex", batch: Sequence[Line]) -> Iterator[tuple[Line, str, SwarmexError | None]]:
    """Each line with a word for what became of it: the state of new usage, duplicate or refused."""
    from backend import bootstrap
    from backend.services import metering

    documents = [line.event for line in batch if line.refusal is None]
    outcomes = iter(metering.ingest(wired.uow(), bootstrap.utc_now(), operator(), documents))
    for line in batch:
        if line.refusal:
            yield line, "refused", line.refusal
            continue
        outcome = next(outcomes)
        new = outcome.usage and outcome.receipt is metering.Receipt.ACCEPTED
        yield line, outcome.usage.state if outcome.usage and new else outcome.receipt, outcome.refusal


def _refused(line: Line, refusal: SwarmexError) -> dict[str, Any]:
    return {
        "number": line.number,
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
        "accepted": refusal.accepted,
    }


def _told(as_json: bool, document: dict[str, Any]) -> None:
    if as_json:
        print_json(document)
        return
    console().print(record({name: fact for name, fact in document.items() if name != "refusals"}))
    if document["refusals"]:
        columns = [figures("Event"), words("Code"), words("Field"), words("Accepted")]
        rows = [(r["number"], r["code"], r["field"], r["accepted"]) for r in document["refusals"]]
        title = f"The first {len(rows)} that were refused" if document["refused"] > len(rows) else "Refused"
        console().print("", table(columns, rows, title), sep="\n")
    if document["unpaid"]:
        note("what is unpaid is charged once there is money and budget: `swarmex usage list --state unpaid` shows it")


@verbs.command(
    "list",
    epilog=examples("swarmex usage list --account acme", "swarmex usage list --meter storage.gb_hours --state unpaid"),
)
def list_usage(
    account: AccountOption = None,
    meter: Annotated[str | None, typer.Option(metavar="METER", help="Only this meter.", show_default=False)] = None,
    state: Annotated[UsageState | None, typer.Option(help="Only usage in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="USAGE", help="Go on below this id.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List usage, what was received last first."""
    from backend.services import metering

    below = UsageId(parse_id_of("usage", before)) if before else None
    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = metering.list_usage(wired.uow(), owner, meter, state.value if state else None, limit, below)
    documents = [views.usage(usage) for usage in found]
    columns = [
        identity("Usage"),
        words("Meter"),
        words("When"),
        figures("Quantity"),
        figures("Amount"),
        words("State"),
    ]
    rows = [(d["id"], d["meter"], d["occurred_at"], d["quantity"], d["amount"], d["state"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex usage show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(usage: UsageArgument, as_json: AsJson = False) -> None:
    """Show one event: who used how much of what, and what it cost."""
    from backend.services import metering

    usage_id = UsageId(parse_id_of("usage", usage))
    with market() as wired:
        document = views.usage(metering.show_usage(wired.uow(), usage_id, operator()))
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex usage void 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --reason 'wrong account'"))
def void(
    usage: UsageArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; for the audit log.")],
    from_fund: Annotated[
        bool, typer.Option("--from-fund", help="Let the credits fund pay what the payee has not any more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take back usage that was reported by mistake: what was charged is given back, once."""
    from backend import bootstrap
    from backend.services import rating

    usage_id = UsageId(parse_id_of("usage", usage))
    with market() as wired:
        taken = rating.take_back(wired.uow(), bootstrap.utc_now(), operator(), usage_id, reason, from_fund)
    document = views.usage(taken)
    emit(as_json, document, record(document))
