"""What the operator is asked before it is done; scripts say --yes instead."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backend.domain.errors import Invalid

if TYPE_CHECKING:
    from backend.bootstrap import Settings

PROCESSES_PER_CORE_MAX = 4  # of one entry, that are started without a question

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(fact: str, question: str, *, yes: bool, as_json: bool) -> None:
    """Ask; raise Invalid(`confirmation_needed`) with the fact where nobody can be asked, Abort if the answer is no."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise Invalid(
            f"{fact}, and nobody can be asked",
            code="confirmation_needed",
            field="--yes",
            accepted="--yes, if that is meant",
        )
    typer.confirm(question, abort=True, err=True)


def confirm_processes(settings: "Settings", before: int, replicas: int, *, yes: bool, as_json: bool) -> None:
    """Ask where an entry is to grow to more processes than this machine can well run at once."""
    cores = os.cpu_count() or 1
    if settings.runtime != "process" or replicas <= max(before, PROCESSES_PER_CORE_MAX * cores):
        return
    fact = f"{replicas} processes would run on this machine, which has {cores} cores"
    confirm(fact, f"{fact}. Start them?", yes=yes, as_json=as_json)
