"""A training job as it goes: bars for its rounds and for who is at work, until it has ended."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from backend.cli import train_views as views
from backend.cli.output import note, notes
from backend.cli.signals import uninterrupted

EVERY_S = 0.5
BAR_COLUMNS = 32
REPORTED = ("reported", "accepted", "rejected")

Document = dict[str, Any]


def watch(look: Callable[[], Document]) -> Document:
    """Show what `look` gives until the job has ended, and return that; a Ctrl-C leaves the job running."""
    terminal, shown = notes(), look()
    face = Face()
    try:
        with Live(face.draw(shown), console=terminal, transient=True, auto_refresh=False) as live:
            while not views.ended(shown):
                pause()
                with uninterrupted():  # a Ctrl-C inside a database driver's callback would be lost
                    shown = look()
                    if terminal.is_terminal:
                        live.update(face.draw(shown), refresh=True)
    except KeyboardInterrupt:
        note(f"It goes on: `swarmex train watch {shown['id']}` shows it, `swarmex train cancel {shown['id']}` ends it.")
        raise
    return shown


def pause() -> None:
    """Wait until it is time to look again."""
    time.sleep(EVERY_S)


class Face:
    """What a terminal shows of a job."""

    def __init__(self) -> None:
        self._bars = Progress(TextColumn("{task.description:12}"), BarColumn(BAR_COLUMNS), MofNCompleteColumn())
        self._rounds = self._bars.add_task("rounds")
        self._round: TaskID = self._bars.add_task("participants")

    def draw(self, shown: Document) -> Group:
        """The job as it is now."""
        self._bars.update(self._rounds, completed=shown["rounds_done"], total=shown["rounds"])
        counts = shown["open_round"] or {}
        there = sum(counts.get(state, 0) for state in REPORTED)
        self._bars.update(self._round, completed=there, total=counts.get("wanted", 1), visible=bool(counts))
        return Group(self._bars, Text("  ".join(_facts(shown)), style="dim"))


def _facts(shown: Document) -> list[str]:
    best, budget = shown["best"], shown["max_budget"]
    facts = [f"{shown['state']}", f"charged {shown['charged']}" + (f" of {budget}" if budget else "")]
    if best["value"] is not None:
        facts.append(f"best {best['metric']} {best['value']:.4g} after round {best['round']}")
    if shown["epsilon"] is not None:
        facts.append(f"ε {shown['epsilon']:.3g}")
    if shown["cancelling"]:
        facts.append("cancelling")
    return facts
