"""Options that verbs share, and the examples below their help."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Name or id of an account.", show_default=False)
]
AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="Name or id of an account.", show_default=False)
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Name or id of a node.", show_default=False)]
OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="Id of an order.", show_default=False)]
InputFile = Annotated[
    Path,
    typer.Option(
        "--input", metavar="FILE", help="Open Inference Protocol JSON; - reads standard input.", show_default=False
    ),
]


def examples(*lines: str) -> str:
    """The end of a verb's help: command lines that can be copied."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  {escape(line)}" for line in lines)])


def group(help_text: str) -> typer.Typer:
    """The verbs of one noun."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich")
