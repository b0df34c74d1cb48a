"""Which nodes of a line stand out for the worse and are left out for a while, as Envoy's outlier detection does.

Consecutive failures tell at once; each interval, the share of successes and the latency are held against the others'.
Envoy asks how many standard deviations a node is below the mean of all, which says nothing where there are three or
four: none of them can be far from a mean that it is part of. Here it is how far it is from the median of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from backend.gateway.limits import (
    EJECTED_SHARE_MAX,
    EJECTION_MAX_S,
    EJECTION_S,
    OUTLIER_FAILURES,
    OUTLIER_LATENCY_FACTOR,
    OUTLIER_LATENCY_MIN_S,
    OUTLIER_RATE_GAP,
    OUTLIER_VOLUME_MIN,
)


@dataclass(slots=True)
class Interval:
    """What a node did since the last look at all of them."""

    served: int = 0
    failed: int = 0
    served_s: float = 0.0  # all latencies together

    @property
    def telling(self) -> bool:
        """Whether there is enough of it to judge by."""
        return self.served + self.failed >= OUTLIER_VOLUME_MIN

    @property
    def rate(self) -> float:
        """The share of successes."""
        return self.served / (self.served + self.failed)


@dataclass(slots=True)
class Health:
    """How a node has done in its line, and until when it is left out."""

    interval: Interval = field(default_factory=Interval)
    failures_in_row: int = 0
    ejections: int = 0  # each makes the next one longer; good intervals take them back
    ejected_until_s: float = 0.0

    def served(self, latency_s: float) -> None:
        """It answered well."""
        self.failures_in_row = 0
        self.interval.served += 1
        self.interval.served_s += latency_s

    def failed(self) -> None:
        """It did not."""
        self.failures_in_row += 1
        self.interval.failed += 1

    def ejected(self, now_s: float) -> bool:
        """Whether it is left out at present."""
        return now_s < self.ejected_until_s

    def eject(self, now_s: float) -> None:
        """Leave it out, for longer each time; what was counted of it is forgotten."""
        self.ejections += 1
        self.ejected_until_s = now_s + min(EJECTION_MAX_S, EJECTION_S * self.ejections)
        self.failures_in_row, self.interval = 0, Interval()


def may_eject(line: Sequence[Health], now_s: float) -> bool:
    """Whether one more of these may be left out: at most EJECTED_SHARE_MAX of them, but one in any case; never all."""
    ejected = sum(health.ejected(now_s) for health in line)
    return ejected < min(max(1, int(EJECTED_SHARE_MAX * len(line))), len(line) - 1)


def has_failed_in_row(health: Health) -> bool:
    """Whether it has failed too often without a success in between."""
    return health.failures_in_row >= OUTLIER_FAILURES


def sweep(line: Sequence[Health], now_s: float) -> list[Health]:
    """At the end of an interval: those that stand out, ejected now, the worst first; the next interval begins.

    A node that did well by its own takes one of its ejections back.
    """
    judged = [health for health in line if not health.ejected(now_s) and health.interval.telling]
    outliers = {id(health) for health in judged if _stands_out(health, [h for h in judged if h is not health])}
    ejected = []
    for health in sorted(judged, key=lambda h: (h.interval.rate, -h.interval.served_s / max(1, h.interval.served))):
        if id(health) not in outliers:
            health.ejections = max(0, health.ejections - 1)
        elif may_eject(line, now_s):
            health.eject(now_s)
            ejected.append(health)
    for health in line:
        health.interval = Interval()
    return ejected


def _stands_out(health: Health, others: Sequence[Health]) -> bool:
    if not others:
        return False
    if health.interval.rate < median(other.interval.rate for other in others) - OUTLIER_RATE_GAP:
        return True
    means_s = [_mean_s(other) for other in others if other.interval.served]
    if not means_s or not health.interval.served:
        return False
    ceiling_s = max(OUTLIER_LATENCY_MIN_S, OUTLIER_LATENCY_FACTOR * median(means_s))
    return _mean_s(health) > ceiling_s


def _mean_s(health: Health) -> float:
    return health.interval.served_s / health.interval.served
