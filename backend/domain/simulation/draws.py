"""Synthetic orders and offers: Poisson arrivals, lognormal values and asks, exponential runs.

Made up, not measured: the shapes are the usual ones, the figures in `SEGMENTS` are a choice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.pricing import FLOOR_NANO, OPENING_NANO
from backend.domain.simulation.plan import Day
from backend.domain.tiers import TIERS, TierName

BASE_NANO = OPENING_NANO  # the worth of a slot-second to a middling buyer
VALUE_SPREAD = 0.5  # standard deviation of a value's logarithm
ASK_OVER_BASE = 0.5
ASK_SPREAD = 0.3
OVER_BASE_MAX = 100  # values and asks are cut there: a lognormal has no end
RUN_OVER_MEAN_MAX = 4  # the same for how long orders run

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segment:
    """How a tier's orders are drawn: 1 to `slots_max` slots, worth `value` base prices (median), for `run_s` (mean).

    After `patience_s` an order's buyer gives up what it has not got.
    """

    tier: TierName
    share: float
    slots_max: int
    value: float
    run_s: int
    patience_s: int


SEGMENTS = (
    Segment(TierName.SMALL, 0.50, slots_max=2, value=0.8, run_s=60, patience_s=600),
    Segment(TierName.MEDIUM, 0.30, slots_max=4, value=1.0, run_s=120, patience_s=300),
    Segment(TierName.LARGE, 0.15, slots_max=8, value=1.4, run_s=240, patience_s=120),
    Segment(TierName.ENTERPRISE, 0.05, slots_max=16, value=2.0, run_s=300, patience_s=60),
)


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Orders in columns, by arrival; `first[step]` is the first that comes in a step. Times are counted in steps."""

    first: Ints
    arrives: Ints
    gives_up: Ints
    runs: Ints
    segment: Ints
    tier: Ints
    slots: Ints
    value_nano: Ints

    @property
    def longest(self) -> int:
        """The most steps that an order runs."""
        return int(self.runs.max(initial=1))


def draw_demand(day: Day, random: np.random.Generator) -> Demand:
    """All orders of a day; each runs and waits a whole number of steps, at least one."""
    counts = random.poisson(day.rates())
    arrives = np.repeat(np.arange(day.steps), counts)
    size = len(arrives)
    segment = random.choice(len(SEGMENTS), size, p=[s.share for s in SEGMENTS])
    mean_run_s = np.array([s.run_s for s in SEGMENTS])[segment]
    run_s = np.minimum(random.exponential(mean_run_s), RUN_OVER_MEAN_MAX * mean_run_s)
    patience = -(-np.array([s.patience_s for s in SEGMENTS]) // day.step_s)
    return Demand(
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        arrives=arrives,
        gives_up=arrives + patience[segment],
        runs=np.maximum(1, np.ceil(run_s / day.step_s)).astype(np.int64),
        segment=segment,
        tier=np.array([TIERS[s.tier].rank for s in SEGMENTS])[segment],
        slots=random.integers(1, np.array([s.slots_max for s in SEGMENTS])[segment], endpoint=True),
        value_nano=_prices(np.array([s.value for s in SEGMENTS])[segment], VALUE_SPREAD, random),
    )


def draw_asks(day: Day, random: np.random.Generator) -> Ints:
    """What each node asks for a slot-second, in nano-credits."""
    return _prices(np.full(day.nodes, ASK_OVER_BASE), ASK_SPREAD, random)


def _prices(medians: NDArray[np.float64], spread: float, random: np.random.Generator) -> Ints:
    drawn = BASE_NANO * random.lognormal(np.log(medians), spread)
    return np.clip(np.rint(drawn), FLOOR_NANO, BASE_NANO * OVER_BASE_MAX).astype(np.int64)
