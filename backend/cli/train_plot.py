"""A training job as a picture: its metric and what it cost below each other, round by round."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from backend.cli.train_views import metric_of

SIZE_INCHES = (9, 6)
DPI = 110
BLUE, ORANGE, GREY = "#1f5fa8", "#d9772b", "#8a8f98"

Document = dict[str, Any]


def plot(job: Document, rounds: Sequence[Document], target: float | None, path: Path) -> None:
    """Write the job as a PNG; `target` is the value that would end it. Raises OSError where that cannot be done."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    metric, cost = figure.subplots(2, 1, sharex=True)
    figure.suptitle(f"{job['trainer']}, {job['strategy']}: {job['rounds_done']} of {job['rounds']} rounds")
    _metric(metric, job, rounds, target)
    _cost(cost, rounds)
    for axes in (metric, cost):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    cost.set_xlabel("round")
    cost.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.savefig(path, format="png")


def _metric(axes: Axes, job: Document, rounds: Sequence[Document], target: float | None) -> None:
    name = job["best"]["metric"]
    measured = [(one["number"], value) for one in rounds if (value := metric_of(one, name)) is not None]
    axes.set_ylabel(name)
    axes.plot([at for at, _ in measured], [value for _, value in measured], color=BLUE, marker="o", label=name)
    if target is not None:
        axes.axhline(target, color=GREY, linestyle="--", label="target")


def _cost(axes: Axes, rounds: Sequence[Document]) -> None:
    """What rounds cost, each with the attempts at it that failed, and all up to then."""
    charged: dict[int, Decimal] = {}
    for one in rounds:
        charged[one["number"]] = charged.get(one["number"], Decimal(0)) + Decimal(one["charged"])
    numbers = sorted(charged)
    axes.set_ylabel("credits")
    axes.bar(numbers, [float(charged[number]) for number in numbers], color=ORANGE, width=0.6, label="of the round")
    so_far = [float(sum(charged[number] for number in numbers[: count + 1])) for count in range(len(numbers))]
    axes.plot(numbers, so_far, color=BLUE, label="so far")
    axes.set_ylim(bottom=0)
