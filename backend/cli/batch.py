"""Batches: many requests in one file, run on the market and answered in another."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from backend.cli import batch_views as views
from backend.cli import webhooks
from backend.cli.connection import account_named, market, operator
from backend.cli.file import OwnerOption, readable
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import emit, note, notes, print_json
from backend.cli.webhooks import WebhookOption
from backend.domain.batches import ENDPOINT, FINAL, BatchState, check_metadata, parse_window, read_options
from backend.domain.errors import Invalid, NotFound
from backend.domain.orders import Strategy
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.services.batches import BatchView

verbs = group("Batches: many requests in one file.")

POLL_S = 0.5
SUBMIT_HINT = "`swarmex batch submit FILE --account ACCOUNT` runs the requests of a file"
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="Id of a batch: batch_…", show_default=False)]


@verbs.command(
    epilog=examples(
        "swarmex batch submit requests.jsonl --account acme --wait",
        "swarmex batch submit bodies.jsonl --account acme --model digits --tier small --max-budget 0.5",
        "swarmex batch submit requests.jsonl --account acme --window 1h --webhook https://example.com/hook --json",
    )
)
def submit(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="One request a line.")],
    account: OwnerOption,
    model: Annotated[
        str | None, typer.Option(help="The lines are bodies only, all for this model.", show_default=False)
    ] = None,
    tier: Annotated[TierName, typer.Option(help="Which size of machines, urgency and fee.")] = TierName.MEDIUM,
    window: Annotated[str, typer.Option(help="Until when: 24h, 1h, 30m.")] = "24h",
    priority: Annotated[Strategy, typer.Option(help="What to prefer among the markets.")] = Strategy.COST,
    slots: Annotated[int, typer.Option(help="Slots at once of each of its orders.")] = 1,
    region: Annotated[str | None, typer.Option(help="Only there.", show_default=False)] = None,
    max_budget: Annotated[str | None, typer.Option(metavar="CREDITS", help="All of it may cost this at most.")] = None,
    webhook: WebhookOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit 1 unless it completed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a file of requests and run them; only what ran is charged.

    A line is {"custom_id", "method": "POST", "url": "/v2/models/MODEL/infer", "body"}, or with --model a body alone.
    """
    from backend import bootstrap
    from backend.services import batches, files

    asked = {"tier": tier.value, "priority": priority.value, "slots": str(slots)}
    more = (("region", region), ("max_budget", max_budget), ("webhook", webhook))
    asked |= {name: value for name, value in more if value is not None}
    metadata = {f"swarmex_{name}": value for name, value in asked.items()}
    parse_window(window)  # all of it before the upload: what is refused leaves no file behind
    read_options(check_metadata(metadata))
    with market() as wired, _lines(readable(path), model) as source:
        owner = operator(account_named(wired, account).id)
        now = bootstrap.utc_now()
        name = views.file(files.upload(wired.uow(), now, wired.objects, owner, source, path.name, "batch"))["id"]
        wish = batches.BatchWish(name, ENDPOINT, window, metadata)
        made = batches.create_batch(wired.uow(), now, owner, wish)
        shown = _waited(wired, batches.batch_name(made.batch.id)) if wait else _document(wired, made)
    _print(shown, as_json)
    if wait and shown["status"] != BatchState.COMPLETED:
        raise typer.Exit(1)


@contextmanager
def _lines(path: Path, model: str | None) -> Iterator[Path]:
    """The file itself, or one with an envelope around each of its bodies; raises Invalid with the line's number."""
    if model is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="swarmex-batch-") as folder:
        wrapped = Path(folder) / "batch.jsonl"
        with path.open("rb") as source, wrapped.open("w") as target:
            for number, raw in enumerate(source, 1):
                target.write((_envelope(raw, number, model) if raw.strip() else "") + "\n")  # lines keep their numbers
        yield wrapped


def _envelope(raw: bytes, number: int, model: str) -> str:
    try:
        body = json.loads(raw)
    except ValueError as error:
        accepted = '{"inputs": [...]} in each line'
        raise Invalid(
            f"line {number} is not JSON: {error}", code="invalid_input", field="file", accepted=accepted
        ) from None
    url = f"{ENDPOINT}/{model}/infer"
    return json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body})


def _waited(wired: "Swarmex", name: str) -> views.Document:
    """The batch once it has ended; whoever breaks it off is told that the batch goes on."""
    from backend.services import batches

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    terminal = notes()
    try:
        with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("validating", total=None, left="")
            while True:
                shown = _document(wired, batches.show_batch(wired.uow(), name, operator()))
                done, total = shown["progress"]["done"], shown["request_counts"]["total"]
                progress.update(
                    task, description=shown["status"], completed=done, total=total or None, left=_left(shown)
                )
                if shown["status"] in FINAL:
                    return shown
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        note(f"It goes on: `swarmex batch show {name}` tells how far it is, `swarmex batch cancel {name}` ends it.")
        raise


def _left(shown: views.Document) -> str:
    seconds = shown["progress"]["seconds_left"]
    return "" if seconds is None else f"about {views.duration(seconds)} left"


def _document(wired: "Swarmex", view: "BatchView") -> views.Document:
    """A batch as it is told, with what its webhook was told."""
    from backend import bootstrap
    from backend.services.batch_progress import progress_of, waits_for
    from backend.services.webhook_news import batch_news

    far = progress_of(wired.uow(), bootstrap.utc_now(), [view.batch])[view.batch.id]
    hook = webhooks.document(wired, batch_news(wired.uow(), view.batch), view.batch.account_id)
    return views.batch(view, far, waits_for(wired.uow(), [view.batch]).get(view.batch.id)) | {"webhook": hook}


@verbs.command("list", epilog=examples("swarmex batch list", "swarmex batch list --account acme --limit 5 --json"))
def list_batches(
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List batches, the newest first: how far each is, and what it cost."""
    from backend import bootstrap
    from backend.services import batches
    from backend.services.batch_progress import progress_of

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        page = batches.list_batches(wired.uow(), owner, limit)
        far = progress_of(wired.uow(), bootstrap.utc_now(), [view.batch for view in page.batches])
    documents = [views.batch(view, far[view.batch.id]) for view in page.batches]
    emit(as_json, documents, views.batches(documents))
    if not as_json and not documents:
        note(f"No batches {'of that account ' if account else ''}yet: {SUBMIT_HINT}.")
    elif not as_json and page.more:
        note(f"Only the newest {limit} are shown: `--limit` shows more, up to {batches.LIST_MAX}.")


@verbs.command(epilog=examples("swarmex batch show batch_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"))
def show(batch: BatchArgument, as_json: AsJson = False) -> None:
    """Show a batch: how far it is, what it cost, and which lines of its file are wrong."""
    from backend.services import batches

    with market() as wired:
        shown = _document(wired, batches.show_batch(wired.uow(), batch, operator()))
    _print(shown, as_json)


@verbs.command(epilog=examples("swarmex batch cancel batch_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"))
def cancel(batch: BatchArgument, as_json: AsJson = False) -> None:
    """Let a batch end: what is in flight ends, and only what ran is charged."""
    from backend import bootstrap
    from backend.services import batches

    with market() as wired:
        shown = _document(wired, batches.cancel_batch(wired.uow(), bootstrap.utc_now(), batch, operator()))
    _print(shown, as_json)


@verbs.command(
    epilog=examples(
        "swarmex batch results batch_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b --output answers.jsonl",
        "swarmex batch results batch_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b --errors --output errors.jsonl",
    )
)
def results(
    batch: BatchArgument,
    output: Annotated[Path, typer.Option(metavar="PATH", help="Where to write them.", show_default=False)],
    errors: Annotated[bool, typer.Option("--errors", help="Those that failed instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write what a batch gave to a file, one answer a line."""
    from backend import bootstrap
    from backend.services import batches, files

    kind = "error" if errors else "output"
    with market() as wired:
        shown = _document(wired, batches.show_batch(wired.uow(), batch, operator()))
        name = shown[f"{kind}_file_id"]
        if name is None:
            raise NotFound(f"{kind} file", f"of {batch}", field="batch", accepted=_has_none(shown, kind))
        file, content = files.read_file(wired.uow(), bootstrap.utc_now(), wired.objects, name, operator())
        _write(output, content)
    document: dict[str, Any] = {"batch": shown["id"], "file": name, "path": str(output), "bytes": file.size_bytes}
    if as_json:
        print_json(document)
    else:
        note(f"{output} is written: {file.size_bytes} bytes.")


def _write(path: Path, content: Iterator[bytes]) -> None:
    try:
        with path.open("wb") as target:
            for chunk in content:
                target.write(chunk)
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        raise Invalid(f"{path}: {reason}", code="invalid_output", field="output", accepted="a path to write") from None


def _has_none(shown: views.Document, kind: str) -> str:
    """Why there is no such file, for whoever asked for it."""
    if shown["ended_at"] is None:
        return f"a batch that has ended: this one is {shown['status']}, {shown['progress']['percent']:.0f}% done"
    if kind == "error":
        return "a batch of which requests failed: of this one none did"
    return "a batch of which requests ran: of this one none did"


def _print(document: views.Document, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        views.show(document, webhooks.told(document["webhook"]))
