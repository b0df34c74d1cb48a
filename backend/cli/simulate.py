"""A market's day, simulated: what a mechanism, a demand and a supply would lead to. No database, no running market."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.day_views import document, hours_table, tiers_table, totals_shown
from backend.cli.options import AsJson, examples
from backend.cli.output import console, notes, print_json, record
from backend.domain.errors import Invalid, Unavailable
from backend.domain.pricing import EPOCH_S

if TYPE_CHECKING:  # with numpy, OR-tools and the auctions behind it, which no other verb should wait for
    from backend.domain.simulation import Day, Simulation

EXAMPLES = examples(
    "swarmex market simulate",
    "swarmex market simulate --surge --png surge.png",
    "swarmex market simulate --mechanism mcafee --orders-per-hour 6000 --nodes 240 --seed 7 --json",
)
SURGE_S = 900
SEED_MAX = (1 << 63) - 1


def simulate(
    orders_per_hour: Annotated[int, typer.Option(metavar="N", help="Mean of the orders that come in an hour.")] = 2_500,
    nodes: Annotated[int, typer.Option(metavar="N", help="Machines on offer.")] = 100,
    slots: Annotated[int, typer.Option(metavar="N", help="Slots of each machine.")] = 4,
    mechanism: Annotated[str, typer.Option(help="uniform or mcafee.")] = "uniform",
    surge: Annotated[bool, typer.Option("--surge", help="Ten times the demand for 15 minutes, half-way.")] = False,
    hours: Annotated[int, typer.Option(metavar="N", help="How long, from midnight on.")] = 24,
    step: Annotated[int, typer.Option(metavar="SECONDS", help="How long an epoch lasts.")] = EPOCH_S,
    peak_hour: Annotated[int, typer.Option(metavar="HOUR", help="When demand is highest.")] = 15,
    swing: Annotated[float, typer.Option(metavar="SHARE", help="How far demand swings over a day, 0 to 1.")] = 0.6,
    seed: Annotated[int, typer.Option(metavar="N", help="Another one draws other orders.")] = 1,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also plot the day to this file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a day of one market: synthetic orders and nodes, this version's auctions and price control.

    It needs no database and no running market, and the same seed gives the same day. Welfare is what the trades are
    worth to both sides, as a share of the most that each epoch's book could have given; the surplus bound is more than
    even a planner who knew the whole day beforehand would reach.
    """
    from backend.domain.simulation import HOUR_S, Day, Surge, spans

    _check(seed, png)
    day = Day(
        hours=hours,
        step_s=step,
        orders_per_hour=orders_per_hour,
        nodes=nodes,
        slots=slots,
        mechanism=mechanism,
        peak_hour=peak_hour,
        swing=swing,
        surge=Surge(hours * HOUR_S // 2, SURGE_S) if surge else None,
    )
    done = _play(day, seed)
    if png:
        with writing(png):
            _plot(done, png)
    by_hour = spans(done, HOUR_S)
    if as_json:
        print_json({**document(done, by_hour, seed), "png": str(png) if png else None})
        return
    console().print(hours_table(by_hour), "", tiers_table(done.totals.tiers), "", record(totals_shown(done)), sep="\n")
    if png:
        console().print(f"\nplotted to {png}")


def _check(seed: int, png: Path | None) -> None:
    """What the day itself does not check, before anybody waits for it."""
    if not 0 <= seed <= SEED_MAX:
        raise Invalid(f"seed cannot be {seed}", code="invalid_seed", field="seed", accepted=f"0 to {SEED_MAX}")
    if png:
        check_png(png)


def check_png(png: Path) -> None:
    """Raise Unavailable(`no_plots`) where nothing can be drawn, Invalid(`invalid_png`) for what cannot be written."""
    if find_spec("matplotlib") is None:
        raise Unavailable(
            "matplotlib is not installed here",
            code="no_plots",
            field="png",
            accepted="leave it out, or run this outside of the image, which draws nothing",
        )
    with writing(png):
        png.open("ab").close()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it caches its fonts is nobody's concern here


@contextmanager
def writing(png: Path) -> Iterator[None]:
    """Raises Invalid(`invalid_png`) for what goes wrong while a plot is written."""
    try:
        yield
    except OSError as error:
        raise Invalid(
            f"{png} cannot be written: {error.strerror}",
            code="invalid_png",
            field="png",
            accepted="a file in a folder that exists and may be written to",
        ) from error


def _plot(done: "Simulation", png: Path) -> None:
    from backend.cli.day_plot import plot

    plot(done, png)


def _play(day: "Day", seed: int) -> "Simulation":
    import numpy as np
    from rich.progress import Progress

    from backend.domain import simulation

    with Progress(console=notes(), transient=True, disable=not notes().is_terminal) as bar:
        task = bar.add_task("epochs", total=day.steps)
        return simulation.simulate(day, np.random.default_rng(seed), lambda step: bar.update(task, completed=step))
