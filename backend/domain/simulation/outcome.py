"""What a simulated day gave: a series with an entry a step, means over longer spans, and the day in figures."""

from dataclasses import dataclass

import numpy as np

from backend.domain.money import PPM
from backend.domain.simulation.draws import Ints
from backend.domain.simulation.plan import Day
from backend.domain.tiers import TierName


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One entry a step. Prices are nano-credits per slot-second, slots are counted at the step's end.

    `price_nano` is what buyers paid on average, 0 where nothing traded. Welfare is what the new trades are worth beyond
    their asks, in nano-credits per second of service; the optimum is the most that the same book could have given.
    `surplus_nano`, `spent_nano` and `earned_nano` are for as long as the new trades run.
    """

    spot_nano: Ints
    price_nano: Ints
    busy_slots: Ints
    waiting_slots: Ints
    orders: Ints
    arrived_slots: Ints
    traded_slots: Ints
    expired_slots: Ints
    paid_nano_per_s: Ints
    welfare_nano_per_s: Ints
    optimum_nano_per_s: Ints
    surplus_nano: Ints
    spent_nano: Ints
    earned_nano: Ints


@dataclass(frozen=True, slots=True)
class TierOutcome:
    """What became of a tier's orders; waits are means over traded slots, None if there are none."""

    tier: TierName
    orders: int
    arrived_slots: int
    traded_slots: int
    expired_slots: int
    wait_s: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The day in figures; slots are conserved: arrived = traded + expired + waiting."""

    orders: int
    arrived_slots: int
    traded_slots: int
    expired_slots: int
    waiting_slots: int
    unserved_ppm: int  # of the slots that arrived: their buyers gave up
    utilisation_ppm: int
    welfare_ppm: int  # of the optimum of each epoch's own book
    surplus_nano: int
    surplus_max_nano: int  # no planner who knew all orders beforehand could reach more, and few as much
    spent_nano: int
    earned_nano: int
    tiers: tuple[TierOutcome, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """A day that was simulated."""

    day: Day
    series: Series
    totals: Totals


@dataclass(frozen=True, slots=True)
class Span:
    """Some steps together, from `starts_s` on: sums, but for prices, utilisation and waiting slots, which are means."""

    starts_s: int
    spot_nano: int
    price_nano: int | None  # None where nothing traded
    utilisation_ppm: int
    waiting_slots: int
    orders: int
    traded_slots: int
    expired_slots: int
    welfare_nano_per_s: int
    optimum_nano_per_s: int
    welfare_ppm: int


def spans(simulation: Simulation, span_s: int) -> tuple[Span, ...]:
    """The day in spans of so many seconds; a step belongs to the span in which it begins."""
    day, series = simulation.day, simulation.series
    number = np.arange(day.steps) * day.step_s // span_s
    first = np.flatnonzero(np.diff(number, prepend=-1))
    steps = np.diff(first, append=day.steps)
    sums = {name: np.add.reduceat(getattr(series, name), first).tolist() for name in Series.__dataclass_fields__}
    return tuple(
        Span(
            starts_s=int(number[first[i]]) * span_s,
            spot_nano=sums["spot_nano"][i] // count,
            price_nano=sums["paid_nano_per_s"][i] // traded if (traded := sums["traded_slots"][i]) else None,
            utilisation_ppm=sums["busy_slots"][i] * PPM // (count * day.slots_all),
            waiting_slots=sums["waiting_slots"][i] // count,
            orders=sums["orders"][i],
            traded_slots=traded,
            expired_slots=sums["expired_slots"][i],
            welfare_nano_per_s=(welfare := sums["welfare_nano_per_s"][i]),
            optimum_nano_per_s=(optimum := sums["optimum_nano_per_s"][i]),
            welfare_ppm=share_ppm(welfare, optimum),
        )
        for i, count in enumerate(steps.tolist())
    )


def share_ppm(part: int, whole: int) -> int:
    """A share in parts per million; all of it where there is nothing to have."""
    return part * PPM // whole if whole else PPM
