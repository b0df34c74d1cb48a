"""A simulated day as a picture: prices, utilisation and welfare below each other, over the hours."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from backend.domain.money import NANO_PER_CREDIT, PPM
from backend.domain.pricing import TARGET_UTILISATION_PPM
from backend.domain.simulation import HOUR_S, Simulation, Span, spans

POINTS = 288  # five minutes each over a day: a line, not a cloud
SIZE_INCHES = (10, 8)
DPI = 110
BLUE, ORANGE, GREY = "#1f5fa8", "#d9772b", "#8a8f98"


def plot(simulation: Simulation, path: Path) -> None:
    """Write the day as a PNG; raises OSError where that cannot be done."""
    day = simulation.day
    span_s = max(day.step_s, day.seconds // POINTS)
    points = spans(simulation, span_s)
    hours = [point.starts_s / HOUR_S for point in points]
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    prices, use, welfare = figure.subplots(3, 1, sharex=True)
    figure.suptitle(
        f"{day.hours} hours, {day.mechanism} auction: {day.orders_per_hour:,} orders an hour, {day.slots_all:,} slots"
    )
    _prices(prices, hours, points)
    _use(use, hours, points)
    _welfare(welfare, hours, points)
    for axes in (prices, use, welfare):
        axes.grid(alpha=0.3)
        if day.surge:
            start_s, end_s = day.surge.starts_s, day.surge.starts_s + day.surge.lasts_s
            axes.axvspan(start_s / HOUR_S, end_s / HOUR_S, color=GREY, alpha=0.25, label=f"demand × {day.surge.factor}")
        axes.legend(loc="upper left", fontsize="small", ncols=2)  # a column of four hides the morning
    welfare.set_xlabel("hour")
    welfare.set_xlim(0, day.hours)
    welfare.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10], integer=True))
    figure.savefig(path, format="png")


def _prices(axes: Axes, hours: Sequence[float], points: Sequence[Span]) -> None:
    axes.set_ylabel("credits per slot-second")
    paid = [float("nan") if p.price_nano is None else p.price_nano / NANO_PER_CREDIT for p in points]
    axes.plot(hours, [p.spot_nano / NANO_PER_CREDIT for p in points], color=BLUE, label="spot price")
    axes.plot(hours, paid, color=ORANGE, linewidth=1, label="price paid")
    axes.set_ylim(bottom=0)


def _use(axes: Axes, hours: Sequence[float], points: Sequence[Span]) -> None:
    axes.set_ylabel("share of slots leased")
    axes.plot(hours, [p.utilisation_ppm / PPM for p in points], color=BLUE, label="leased")
    axes.axhline(TARGET_UTILISATION_PPM / PPM, color=GREY, linestyle="--", label="target")
    axes.plot([], [], color=ORANGE, linewidth=1, label="waited for")
    axes.set_ylim(0, 1.05)
    queue = axes.twinx()  # a surge waits for many times what there is
    queue.set_ylabel("slots waited for", color=ORANGE)
    queue.plot(hours, [p.waiting_slots for p in points], color=ORANGE, linewidth=1)
    queue.set_ylim(bottom=0)


def _welfare(axes: Axes, hours: Sequence[float], points: Sequence[Span]) -> None:
    axes.set_ylabel("welfare of new trades,\ncredits per second")
    optimum = [p.optimum_nano_per_s / NANO_PER_CREDIT for p in points]
    axes.plot(hours, optimum, color=GREY, linestyle="--", label="optimum of the same books")
    axes.plot(hours, [p.welfare_nano_per_s / NANO_PER_CREDIT for p in points], color=BLUE, linewidth=1, label="reached")
    axes.set_ylim(bottom=0)
