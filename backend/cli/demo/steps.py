"""The demo's progress: one line for each finished step, and a bar for the one that is under way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Step:
    """A step under way: tells how far it is, and in the end what it did."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self.outcome = ""

    def at(self, done: int, total: int) -> None:
        """So many of so many."""
        self._progress.update(self._task, completed=done, total=total, detail=f"{done}/{total}")

    def tell(self, detail: str) -> None:
        """How far it is, in words."""
        self._progress.update(self._task, detail=detail)

    def done(self, outcome: str) -> None:
        """What the step did, for its line."""
        self.outcome = outcome


class Steps:
    """All steps of a run, on standard error; `current` is the one that failed, if one did."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.current = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, doing: str) -> Iterator[Step]:
        """One step; its line is printed when it has succeeded."""
        self.current = doing
        began = time.monotonic()
        task = self._progress.add_task(doing, total=None, detail="")
        step = Step(self._progress, task)
        try:
            yield step
        finally:
            self._progress.remove_task(task)
        self._console.print(f"{time.monotonic() - began:6.1f} s  {doing}: {step.outcome}")
