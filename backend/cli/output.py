"""What verbs print: one JSON document, or tables that fit their terminal; notes go to standard error."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from backend.cli.printable import printable
from backend.domain.percent import format_percent

PIPED_COLUMNS = 160  # a pipe has no width, and whoever reads it wants whole ids
NONE = "–"
WORDS_COLUMNS_MIN = 7  # a narrower column of text is one that nobody reads
PPM_ENDING = "_ppm"
GAP_COLUMNS = 2  # between two columns: their padding and the line that is not drawn


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


def note(text: str, style: str | None = None) -> None:
    """Tell the operator something that is not the answer."""
    notes().print(printable(text), style=style)


def notes() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def words(name: str) -> Column:
    """A column of text, which may wrap."""
    return Column(printable(name), overflow="fold")


def identity(name: str) -> Column:
    """A column of ids, which are shown whole: they are there to be copied."""
    return Column(printable(name), no_wrap=True, min_width=36)


def figures(name: str) -> Column:
    """A column of amounts or counts."""
    return Column(printable(name), justify="right", no_wrap=True)


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """A table with a line under its head; one fact a line where a terminal is too narrow for all of them."""
    made = Rows(
        *columns,
        title=title and printable(title),
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


class Rows(Table):
    """A table that says when it is empty, and that shows its rows as records rather than columns of a few letters."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its rows below each other."""
        if not self.rows:
            yield from super().__rich_console__(console, options)
            yield Text("none", style="dim")
        elif self._readable_columns() <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._records()

    def _records(self) -> Iterator[RenderableType]:
        if self.title:
            yield Text(str(self.title).strip("\n"), style="bold")
        heads = [str(column.header) for column in self.columns]
        for number, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            if number:
                yield ""
            yield _grid(list(zip(heads, map(str, cells), strict=True)))

    def _readable_columns(self) -> int:
        """How wide a terminal has to be: figures and ids are whole, words may be folded but not to pieces."""
        total = GAP_COLUMNS * (len(self.columns) - 1)
        for column in self.columns:
            natural = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
            total += natural if column.no_wrap else min(natural, WORDS_COLUMNS_MIN)
        return total


def record(facts: Mapping[str, object]) -> Table:
    """One thing: its facts below each other; shares in parts per million are told as percentages."""
    return _grid([_fact(name, value) for name, value in facts.items()])


def _fact(name: str, value: object) -> tuple[str, str]:
    name = printable(name)
    if name.endswith(PPM_ENDING) and isinstance(value, int):
        return name.removesuffix(PPM_ENDING).replace("_", " "), f"{format_percent(value)}%"
    return name.replace("_", " "), text(value)


def _grid(lines: Sequence[tuple[str, str]]) -> Table:
    made = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for name, fact in lines:
        made.add_row(name, fact)
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
    return printable(str(value))
