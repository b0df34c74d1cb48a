"""`swarmex demo`: a market of sample machines, and real work bought, run and paid on it."""

import shutil
import sys
from pathlib import Path

import typer

from backend.cli.options import AsJson, examples
from backend.cli.output import console, note, notes, print_json

EXAMPLES = examples("swarmex demo", "SWARMEX_DATA_FOLDER=$(mktemp -d) swarmex demo --json")


def demo(as_json: AsJson = False) -> None:
    """Buy and run real work on a sample market.

    It shows who ran what, how fast, and who paid whom. Servers and agents that it starts are stopped at the end; the
    data stays. Exit 1 if anything is not as it should be.
    """
    from backend import bootstrap
    from backend.cli.demo import rendering
    from backend.cli.demo.client import Failed
    from backend.cli.demo.run import run
    from backend.cli.demo.steps import Steps
    from backend.domain.errors import SwarmexError

    settings = bootstrap.settings()
    with Steps(notes()) as steps:
        try:
            made = run(settings, steps)
        except SwarmexError as error:
            told = f"{steps.current}: {error.message}\n  logs: {settings.folder / 'logs'}"
            raise Failed(told, field=error.field, accepted=error.accepted) from error
        except Exception as error:  # of any library below: the step and the logs are what helps
            raise Failed(f"{steps.current}: {error!r}\n  logs: {settings.folder / 'logs'}") from error
        except KeyboardInterrupt:
            note("Interrupted: what this run started has been stopped.")
            raise
    if as_json:
        print_json(rendering.document(made))
    else:
        console().print(rendering.shown(made))
        _say_what_next(settings.folder)
    for problem in made.problems:
        note(f"error: {problem}")
    if made.problems:
        raise typer.Exit(1)


def _say_what_next(folder: Path) -> None:
    from backend.cli.demo.run import SAMPLE_REQUEST

    # `make demo` runs it from an environment that is not on the PATH of whoever typed that.
    swarmex = "swarmex" if shutil.which("swarmex") else _here(Path(sys.executable).with_name("swarmex"))
    console().print(
        f"""
The market stays in {_here(folder)}. These look at it, and start its servers again if they are down:
  {swarmex} order list
  {swarmex} account show demo-lab
  {swarmex} ledger audit
These keep it running, use it, and stop it with its servers:
  {swarmex} up
  {swarmex} key create demo-lab
  SWARMEX_KEY=swx_... {swarmex} infer digits --input {_here(folder / SAMPLE_REQUEST)}
  {swarmex} down"""
    )


def _here(path: Path) -> Path:
    """A path as it is shortest from the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
