"""One leased node as the router sees it: what is under way on it, how slow it is, how it has done. Nothing of money."""

from functools import partial

from backend.gateway.admission import Held
from backend.gateway.limits import EWMA_DECAY_S, FAILURE_S, UNKNOWN_LOAD_S
from backend.gateway.routing.outliers import Health
from backend.gateway.routing.peak_ewma import PeakEwma


class Target:
    """Counts what is sent to a node and what comes of it; all times by one clock that never goes back."""

    __slots__ = ("_latency", "_next", "_pending", "health")

    def __init__(self) -> None:
        self.health = Health()
        self._latency = PeakEwma(EWMA_DECAY_S)
        self._pending: dict[int, float] = {}  # when each was sent, the oldest first
        self._next = 0

    def asked(self, now_s: float) -> Held:
        """A request is under way for the length of a block."""
        number = self._next
        self._next += 1
        self._pending[number] = now_s
        return Held(partial(self._pending.pop, number))

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._pending)

    def latency_s(self, now_s: float) -> float:
        """Peak EWMA of its answers; at least the age of what it has not answered yet, so that a hanging node shows."""
        oldest_s = next(iter(self._pending.values()), now_s)
        return max(self._latency.value(now_s), now_s - oldest_s)

    def load(self, now_s: float) -> float:
        """(in flight + 1) × latency. Nothing known: 0 for the first request, and then more than any known one."""
        known_s = self._latency.value(now_s)
        if known_s == 0.0 and self._pending:
            return UNKNOWN_LOAD_S * len(self._pending)
        return (len(self._pending) + 1) * self.latency_s(now_s)

    def served(self, latency_s: float, now_s: float) -> None:
        """An answer came so long after it was asked for."""
        self._latency.observe(latency_s, now_s)
        self.health.served(latency_s)

    def failed(self, took_s: float, now_s: float) -> None:
        """It failed so long after it was asked: however quick, that is no reason to ask it before others."""
        self._latency.observe(max(took_s, FAILURE_S), now_s)
        self.health.failed()

    def busy(self, now_s: float) -> None:
        """It takes no more at the moment, which is no failure."""
        self._latency.observe(FAILURE_S, now_s)

    def left(self, took_s: float, now_s: float) -> None:
        """Whoever asked did not wait any longer: it takes at least so long."""
        if took_s > self._latency.value(now_s):
            self._latency.observe(took_s, now_s)

    def forget(self) -> None:
        """Its latency is not known any more."""
        self._latency = PeakEwma(EWMA_DECAY_S)
