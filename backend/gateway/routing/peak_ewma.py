"""A moving average that jumps up with its peaks at once and forgets them by and by."""

import math


class PeakEwma:
    """What is observed of late, in its own unit, weighted by e^(−age / `decay_s`); 0 when nothing was for long.

    A value above the average replaces it, one below is averaged in: a node that becomes slow is known to be from its
    first slow answer on, and trusted again only with time. As the load metric of Finagle's `PeakEwma` balancer does.
    """

    __slots__ = ("_at_s", "_decay_s", "_value")

    def __init__(self, decay_s: float) -> None:
        self._decay_s = decay_s
        self._value = 0.0
        self._at_s = -math.inf

    def observe(self, value: float, now_s: float) -> None:
        """Take in a value ≥ 0 at a moment of a clock that never goes back."""
        kept = self.value(now_s)
        if value <= kept:
            kept += value * (1.0 - math.exp(-max(0.0, now_s - self._at_s) / self._decay_s))
        self._value, self._at_s = max(value, kept), now_s

    def value(self, now_s: float) -> float:
        """The average as of a moment."""
        return self._value * math.exp(-max(0.0, now_s - self._at_s) / self._decay_s)
