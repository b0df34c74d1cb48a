"""What is told of files and batches: the same names and forms as in the HTTP API."""

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from backend.cli.output import console, figures, record, table, words
from backend.domain.batches import FINAL
from backend.domain.files import file_name
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.services.batches import BatchView
    from backend.storage.files import File

Document = dict[str, Any]


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


def batch(view: "BatchView") -> Document:
    """A batch: how far it is, what it cost, and its files once it has ended."""
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
        "charged": format_credits(view.charged_nano),
        "tier": of.options.tier,
        "metadata": dict(of.metadata),
        "created_at": of.created_at,
        "expires_at": of.expires_at,
        "ended_at": of.ended_at,
        "errors": of.errors or [],
    }


def told(document: Document) -> RenderableType:
    """A batch for people."""
    counts = document["request_counts"]
    shown = {name: value for name, value in document.items() if name not in ("request_counts", "metadata", "errors")}
    return record(shown | {"requests": counts["total"], "completed": counts["completed"], "failed": counts["failed"]})


def show(document: Document) -> None:
    """Print a batch, and which lines of its file are wrong."""
    console().print(told(document))
    if document["errors"]:
        columns = [figures("Line"), words("Code"), words("Field"), words("What is wrong")]
        rows = [(e["line"], e["code"], e["param"], e["message"]) for e in document["errors"]]
        console().print("", table(columns, rows), sep="\n")
