"""What verbs print: one JSON document, or tables that fit a terminal of 100 columns; notes go to standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Console, RenderableType
from rich.table import Column, Table

PIPED_COLUMNS = 160  # a pipe has no width, and whoever reads it wants whole ids
NONE = "–"


def emit(as_json: bool, document: object, shown: RenderableType) -> None:
    """Print the document as JSON, or what is shown of it to people."""
    if as_json:
        print_json(document)
    else:
        console().print(shown)


def print_json(document: object) -> None:
    """Print one JSON document; ids and times as strings."""
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False, markup=False)


def note(text: str) -> None:
    """Tell the operator something that is not the answer."""
    notes().print(text)


def notes() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def words(name: str) -> Column:
    """A column of text, which may wrap."""
    return Column(name, overflow="fold")


def identity(name: str) -> Column:
    """A column of ids, which are shown whole: they are there to be copied."""
    return Column(name, no_wrap=True, min_width=36)


def figures(name: str) -> Column:
    """A column of amounts or counts."""
    return Column(name, justify="right", no_wrap=True)


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """A table with a line under its head."""
    made = Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for row in rows:
        made.add_row(*(text(cell) for cell in row))
    return made


def record(facts: Mapping[str, object]) -> Table:
    """One thing: its facts below each other."""
    made = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for name, fact in facts.items():
        made.add_row(name.replace("_", " "), text(fact))
    return made


def text(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value))
    if isinstance(value, dict):
        return json.dumps(value) if value else NONE
    return str(value)
