"""What a person at the machine sees of its work: one line that changes; in a log, the agent's own facts suffice."""

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.status import Status

from agents.inference.runner import UnitReport
from backend.domain.ids import UnitId


class Progress:
    """Counts what is run; shows it while it is entered, if `stream` is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream)
        self.shown = console.is_terminal
        self._status = Status("waiting for work", console=console)
        self._started = monotonic()
        self.units = self.committed = self.failed = self.handed_back = self.lost = 0

    def __enter__(self) -> Self:
        if self.shown:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self._status.stop()
            self._status.console.print(self._line(), highlight=False)

    def counted(self, run: Callable[[UnitId], UnitReport]) -> Callable[[UnitId], UnitReport]:
        """`run`, whose reports are counted and shown."""

        def counting(unit_id: UnitId) -> UnitReport:
            report = run(unit_id)
            self.count(report)
            return report

        return counting

    def count(self, report: UnitReport) -> None:
        """Count what became of a unit; of what was put aside, its own report tells."""
        self.units += report.claimed > report.aside
        self.committed += report.committed
        self.failed += report.failed
        self.handed_back += report.handed_back
        self.lost += report.lost
        self._status.update(self._line())

    def _line(self) -> str:
        minutes = (monotonic() - self._started) / 60
        told = f"{self.units} units, {self.committed} items run"
        others = ((self.failed, "failed"), (self.handed_back, "handed back unrun"), (self.lost, "lost to others"))
        for count, what in others:
            told += f", {count} {what}" if count else ""
        return f"{told} in {minutes:.0f} min; Ctrl-C ends it in order"
