"""`python -m tests.performance [--only NAME]`: runs the benchmarks and writes build/benchmarks.json.

Exits 0 when every benchmark ran, whether or not its figures keep their targets (the rows say so), else 1.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backend.bootstrap import calm_collector, configure_logging
from tests.performance import registry, report
from tests.performance.bench import Bench
from tests.performance.rows import Row
from tests.performance.servers import DurableServers

RUN_MAX_S = 15 * 60
BENCHMARK_MAX_S = 3 * 60
REPORT_CHARS = 150  # of a line where there is no terminal to ask
RESULTS = Path(__file__).parents[2] / "build" / "benchmarks.json"


class Overrun(Exception):
    """A benchmark that did not end in its time."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument("--only", choices=registry.names(), metavar="NAME", help=", ".join(registry.names()))
    only = parser.parse_args(argv).only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers are stopped on the way out
    configure_logging("WARNING")
    calm_collector()  # as the agents and the API do, which it stands for
    console = Console() if sys.stdout.isatty() else Console(width=REPORT_CHARS)
    rows: list[Row] = []
    crashed = []
    deadline = time.monotonic() + RUN_MAX_S
    with DurableServers() as servers, _progress(console) as progress:
        for name in [only] if only else registry.names():
            try:
                with _time_limit(min(BENCHMARK_MAX_S, deadline - time.monotonic())):
                    rows += _run(name, servers, progress)
            except Exception:
                crashed.append(name)
                progress.console.print(f"[red]{name} crashed[/]")
                progress.console.print(traceback.format_exc(), markup=False, highlight=False)
    report.write_json(rows, RESULTS, keep_others=bool(only))
    report.show(rows, console)
    console.print(f"{RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS} is written.")
    if crashed:
        console.print(f"[red]Crashed: {', '.join(crashed)}[/]")
    return 1 if crashed else 0


def _run(name: str, servers: DurableServers, progress: Progress) -> list[Row]:
    task = progress.add_task(name, total=None)
    benchmark = registry.find(name)
    progress.update(task, description=f"{name}: {benchmark.about}")
    started = time.monotonic()
    rows = list(benchmark.run(Bench(name, servers, lambda: progress.advance(task))))
    progress.update(task, total=1, completed=1)
    if not progress.console.is_terminal:
        progress.console.print(f"{name}: {time.monotonic() - started:.1f} s")
    return rows


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises Overrun in the block when the time is over."""

    def over(*_: object) -> None:
        raise Overrun(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
