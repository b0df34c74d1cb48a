"""What is told of files and batches: the same names and forms as in the HTTP API, and how far a batch is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from backend.cli.hints import NEXT
from backend.cli.output import console, figures, note, record, table, words
from backend.domain.batches import FINAL, OWN, BatchState
from backend.domain.files import file_name
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.domain.batch_progress import Progress
    from backend.services.batches import BatchView
    from backend.storage.batch_chunks import Waiting
    from backend.storage.files import File

Document = dict[str, Any]

BAR_CHARS = 12
MINUTE_S, HOUR_S = 60, 3_600
ABOUT = {
    BatchState.VALIDATING: "its lines are checked; nothing is held or charged yet",
    BatchState.IN_PROGRESS: "it runs, as the market has room",
    BatchState.FINALIZING: "the last requests end, and the files are written",
    BatchState.CANCELLING: "what is in flight ends, nothing else is begun",
    BatchState.FAILED: "lines are wrong; nothing was run or charged",
}


def file(kept: "File") -> Document:
    """A file that is kept."""
    return {
        "id": file_name(kept.id),
        "account": kept.account_id,
        "filename": kept.filename,
        "purpose": kept.purpose.value,
        "bytes": kept.size_bytes,
        "created_at": kept.created_at,
        "expires_at": kept.expires_at,
    }


def batch(view: "BatchView", far: "Progress", waits: "Waiting | None" = None) -> Document:
    """A batch: how far it is, what keeps it, what it cost, and its files once it has ended."""
    from backend.services.batches import batch_name

    of = view.batch
    ended = of.state in FINAL
    return {
        "id": batch_name(of.id),
        "account": of.account_id,
        "status": of.state.value,
        "endpoint": of.endpoint,
        "input_file_id": file_name(of.input_file_id),
        "output_file_id": file_name(of.output_file_id) if of.output_file_id and ended else None,
        "error_file_id": file_name(of.error_file_id) if of.error_file_id and ended else None,
        "request_counts": {"total": of.total, "completed": of.completed, "failed": of.failed},
        "progress": {
            "done": far.done,
            "percent": far.done_ppm // 1_000 / 10,
            "requests_per_s": None if far.rate_per_s is None else round(far.rate_per_s, 1),
            "seconds_left": None if far.left_s is None else round(far.left_s),
        },
        "reason": waits and waits.code,
        "reason_told": waits and waits.message,
        "charged": format_credits(view.charged_nano),
        "tier": of.options.tier,
        "metadata": dict(of.metadata),
        "created_at": of.created_at,
        "expires_at": of.expires_at,
        "ended_at": of.ended_at,
        "errors": of.errors or [],
    }


def batches(documents: Sequence[Document]) -> Table:
    """Batches for people, one a line."""
    columns = [
        words("Batch"),
        words("State"),
        words("Progress"),
        figures("Requests"),
        figures("Done"),
        figures("Failed"),
        figures("Per s"),
        figures("Left"),
        figures("Charged"),
    ]
    return table(columns, [_row(document) for document in documents])


def _row(document: Document) -> tuple[object, ...]:
    counts, far = document["request_counts"], document["progress"]
    return (
        document["id"],
        document["status"],
        _bar(document),
        counts["total"] or None,
        max(0, far["done"] - counts["failed"]),
        counts["failed"],
        _rate(far["requests_per_s"]),
        None if far["seconds_left"] is None else duration(far["seconds_left"]),
        document["charged"],
    )


def show(document: Document, hook: Document) -> None:
    """Print a batch, which lines of its file are wrong, and what to do next; `hook` are facts of its webhook."""
    counts, far = document["request_counts"], document["progress"]
    left = None if far["seconds_left"] is None else f"about {duration(far['seconds_left'])}"
    facts = {
        "id": document["id"],
        "account": document["account"],
        "state": _state(document["status"]),
        "progress": _bar(document),
        "requests": counts["total"] or None,
        "done": max(0, far["done"] - counts["failed"]) if counts["total"] else None,
        "failed": counts["failed"] if counts["total"] else None,
        "waits_because": document["reason"],
        "per_second": _rate(far["requests_per_s"]),
        "left": left,
        "charged_so_far" if document["ended_at"] is None else "charged": document["charged"],
        **{name: document[name] for name in ("tier", "endpoint", "input_file_id", "output_file_id", "error_file_id")},
        **{name: document[name] for name in ("created_at", "expires_at", "ended_at")},
        **_settings(document["metadata"]),
        **hook,
    }
    console().print(record({name: value for name, value in facts.items() if value is not None}))
    if document["errors"]:
        columns = [figures("Line"), words("Code"), words("Field"), words("What is wrong")]
        rows = [(e["line"], e["code"], e["param"], e["message"]) for e in document["errors"]]
        console().print("", table(columns, rows), sep="\n")
    for hint in hints(document):
        note(hint)


def _settings(metadata: Mapping[str, str]) -> dict[str, str]:
    """What its metadata asked of the market, then what else is in there: under names that no fact of ours has."""
    own = {name: value for name, value in metadata.items() if name.startswith(OWN)}
    others = {f"metadata {name}": value for name, value in metadata.items() if name not in own}
    return {name.removeprefix(OWN): value for name, value in own.items() if name != f"{OWN}webhook"} | others


def hints(document: Document) -> list[str]:
    """What may be done next with a batch."""
    name = document["id"]
    if document["status"] == BatchState.FAILED:
        return ["Correct these lines and submit the file again."]
    if document["ended_at"] is None:
        why = document["reason_told"] or NEXT.get(document["reason"] or "")
        told = [f"It waits because of {document['reason']}: {why}."] if why else []
        return [*told, f"`swarmex batch show {name}` tells how far it is, `swarmex batch cancel {name}` ends it."]
    told = []
    if document["output_file_id"]:
        told.append(f"`swarmex batch results {name} --output answers.jsonl` writes the answers.")
    if document["error_file_id"]:
        told.append(f"`swarmex batch results {name} --errors --output errors.jsonl` writes why others have none.")
    return told


def duration(seconds: float) -> str:
    """A time span as people say it."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02} min"


def _state(status: str) -> str:
    about = ABOUT.get(BatchState(status))
    return f"{status}: {about}" if about else status


def _rate(per_s: float | None) -> str | None:
    """A rate with as many digits as say something."""
    if per_s is None:
        return None
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.1f}"


def _bar(document: Document) -> str | None:
    """How much is done, to look at; none while it is not known of how much."""
    if not document["request_counts"]["total"]:
        return None
    percent = document["progress"]["percent"]
    filled = int(percent / 100 * BAR_CHARS)
    return f"{'█' * filled}{'░' * (BAR_CHARS - filled)} {int(percent):3}%"
