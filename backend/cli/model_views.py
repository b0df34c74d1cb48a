"""Models as the command line shows them."""

from datetime import datetime
from typing import Any

from rich.table import Table

from backend.cli.output import figures, record, table, words

COLUMNS = ("Name", "Version", "Stage", "Aliases", "Tags", "Bytes", "µs/call", "µs/row", "Takes", "Gives")
FIGURES = ("Version", "Bytes", "µs/call", "µs/row")


def listed(documents: list[dict[str, Any]]) -> Table:
    """Versions, a line each."""
    columns = [figures(name) if name in FIGURES else words(name) for name in COLUMNS]
    return table(columns, [_row(document) for document in documents])


def shown(document: dict[str, Any]) -> Table:
    """One version, its facts below each other."""
    sides = {side: tensors(document[side]) for side in ("inputs", "outputs")}
    times = {name: _moment(document[name]) for name in ("created_at", "deleted_at")}
    return record({**document, **times, **sides, "tags": _tags(document)})


def tensors(specs: list[dict[str, object]]) -> str:
    """A side of a signature in few words."""
    return ", ".join(f"{s['name']} {s['datatype']}{s['shape']}" for s in specs)


def _row(document: dict[str, Any]) -> tuple[object, ...]:
    stage = "deleted" if document["deleted_at"] else document["stage"]
    return (
        document["name"],
        document["version"],
        stage,
        document["aliases"],
        _tags(document),
        document["size_bytes"],
        document["us_per_call"],
        document["us_per_row"],
        tensors(document["inputs"]),
        tensors(document["outputs"]),
    )


def _moment(value: datetime | str | None) -> datetime | None:
    """A time as it is here, or as text from the API."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _tags(document: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in sorted(document["tags"].items()))
