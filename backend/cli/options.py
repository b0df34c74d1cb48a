"""Options that verbs share, and the examples below their help."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

_BELOW_ZERO = re.compile(r"-\d[\d.]*", re.ASCII)

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


class NumberLast(TyperCommand):
    """A verb whose last argument is a number: -1 is a number that is out of range, and no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take one negative number as an argument; the context is of a class that typer keeps to itself."""
        below_zero = [word for word in args if _BELOW_ZERO.fullmatch(word)]
        if len(below_zero) == 1 and "--" not in args:
            args = [*(word for word in args if word not in below_zero), "--", *below_zero]
        return super().parse_args(ctx, args)


def examples(*lines: str) -> str:
    """The end of a verb's help: command lines that can be copied."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  {escape(line)}" for line in lines)])


def group(help_text: str) -> typer.Typer:
    """The verbs of one noun."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich")
