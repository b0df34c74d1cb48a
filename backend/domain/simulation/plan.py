"""What is simulated: how long, how much demand and when, which supply, by which mechanism."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.auctions import DEFAULT_MECHANISM, MECHANISMS
from backend.domain.errors import Invalid, shown, unknown_choice
from backend.domain.pricing import EPOCH_S

HOUR_S = 3_600
HOURS_A_DAY = 24
HOURS_MAX = 168
STEP_S_MIN, STEP_S_MAX = EPOCH_S, 300
NODES_MAX = 2_000
SLOTS_PER_NODE_MAX = 256
ORDERS_PER_HOUR_MAX = 200_000
ORDERS_MAX = 500_000  # expected in all: what is drawn is held in memory
SURGE_MAX = 100


@dataclass(frozen=True, slots=True)
class Surge:
    """`factor` times the demand for `lasts_s`, from `starts_s` on."""

    starts_s: int
    lasts_s: int
    factor: int = 10


@dataclass(frozen=True, slots=True)
class Day:
    """What is simulated: `hours` of one market in steps of `step_s`, from midnight on.

    `orders_per_hour` is the mean over a day; demand swings around it by that share, to its most at `peak_hour`. `slots`
    are a node's. Raises Invalid(`invalid_<field>`) for what is out of the limits above.
    """

    hours: int = 24
    step_s: int = EPOCH_S
    orders_per_hour: int = 2_500
    nodes: int = 100
    slots: int = 4
    mechanism: str = DEFAULT_MECHANISM
    peak_hour: int = 15
    swing: float = 0.6
    surge: Surge | None = None

    def __post_init__(self) -> None:
        for name, low, high in _LIMITS:
            _within(name, getattr(self, name), low, high)
        _within("step", self.step_s, STEP_S_MIN, STEP_S_MAX)
        if self.surge:
            _within("surge", self.surge.factor, 1, SURGE_MAX)
            _within("surge_starts_s", self.surge.starts_s, 0, self.seconds)
            _within("surge_lasts_s", self.surge.lasts_s, 0, self.seconds)
        if self.mechanism not in MECHANISMS:
            raise unknown_choice("mechanism", self.mechanism, list(MECHANISMS))
        if (expected := float(self.rates().sum())) > ORDERS_MAX:
            room = max(1, math.floor(self.orders_per_hour * ORDERS_MAX / expected))
            raise _refused("orders_per_hour", self.orders_per_hour, f"1 to {room:,} for so many hours and such a surge")

    @property
    def seconds(self) -> int:
        """How long it lasts."""
        return self.hours * HOUR_S

    @property
    def steps(self) -> int:
        """How many epochs it has."""
        return self.seconds // self.step_s

    @property
    def slots_all(self) -> int:
        """The slots of all nodes."""
        return self.nodes * self.slots

    def rates(self) -> NDArray[np.float64]:
        """Expected orders in each step."""
        seconds = np.arange(self.steps) * self.step_s
        phase = (seconds / HOUR_S - self.peak_hour) * (2 * math.pi / HOURS_A_DAY)
        rates = self.orders_per_hour * self.step_s / HOUR_S * (1 + self.swing * np.cos(phase))
        if self.surge:
            inside = (seconds >= self.surge.starts_s) & (seconds < self.surge.starts_s + self.surge.lasts_s)
            rates[inside] *= self.surge.factor
        return rates


_LIMITS: tuple[tuple[str, int, int], ...] = (
    ("hours", 1, HOURS_MAX),
    ("orders_per_hour", 1, ORDERS_PER_HOUR_MAX),
    ("nodes", 1, NODES_MAX),
    ("slots", 1, SLOTS_PER_NODE_MAX),
    ("peak_hour", 0, HOURS_A_DAY - 1),
    ("swing", 0, 1),
)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN is not either
        raise _refused(name, value, f"{low:,} to {high:,}")


def _refused(name: str, value: float, accepted: str) -> Invalid:
    return Invalid(f"{name} cannot be {shown(value)}", code=f"invalid_{name}", field=name, accepted=accepted)
