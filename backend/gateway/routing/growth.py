"""When a line of leases is too short for what is asked of it, and how many of its leases are enough."""

from math import ceil

from backend.domain.backoff import delay_s
from backend.gateway.limits import (
    GROW_ABOVE_IN_FLIGHT,
    GROW_AFTER_S,
    GROW_BACKOFF_MAX_S,
    GROW_BACKOFF_S,
    REST_IN_FLIGHT,
)


class Growth:
    """Whether another lease is wanted: too much was in flight for too long, or a node said that it is busy.

    After a refusal nothing is wanted for a while, longer each time.
    """

    def __init__(self) -> None:
        self._crowded_since_s: float | None = None
        self._refusals = 0
        self._not_before_s = 0.0
        self._short = False

    def look(self, in_flight: int, leases: int, now_s: float) -> None:
        """So many requests are on so many leases that can serve."""
        if in_flight <= GROW_ABOVE_IN_FLIGHT * leases:
            self._crowded_since_s = None
        elif self._crowded_since_s is None:
            self._crowded_since_s = now_s

    def fall_short(self) -> None:
        """What there is does not do: a node is busy, or none is left that serves."""
        self._short = True

    def wanted(self, now_s: float) -> bool:
        """Whether to ask for another lease now."""
        crowded = self._crowded_since_s is not None and now_s - self._crowded_since_s >= GROW_AFTER_S
        return (self._short or crowded) and self.allowed(now_s)

    def allowed(self, now_s: float) -> bool:
        """Whether the last refusal was long enough ago."""
        return now_s >= self._not_before_s

    def granted(self, *, beside_others: bool) -> None:
        """There is one more; only if it is beside others does that tell that another can be had on another node."""
        self._short, self._crowded_since_s = False, None
        if beside_others:
            self._refusals, self._not_before_s = 0, 0.0

    def refused(self, now_s: float) -> None:
        """There was none to be had."""
        self._refusals += 1
        self._short, self._crowded_since_s = False, None
        self._not_before_s = now_s + delay_s(self._refusals, 0.0, GROW_BACKOFF_S, GROW_BACKOFF_MAX_S)


def enough(demand: float, leases: int) -> int:
    """How many of so many leases serve a number of requests in flight; those beyond it rest, and end when idle.

    Below what makes a line grow, so that it does not grow and shrink in turn.
    """
    return max(1, min(leases, ceil(demand / REST_IN_FLIGHT)))
