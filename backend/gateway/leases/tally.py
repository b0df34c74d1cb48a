"""How many of a session's requests its node served, how fast, and how many it failed: counted as they are answered."""

from backend.domain.sla import BUCKET_BOUNDS_MS, Histogram, Measured, bucket_of


class Tally:
    """Running totals of one session in one event loop, of a fixed size.

    They are handed over whole when its window is renewed and when it ends, so that a total that arrives twice adds
    nothing. What a process that crashed had counted since its last renewal is lost, one window's requests at most.
    What is the client's own doing is not counted: input that is refused, a place that is not free, a disconnection.
    """

    __slots__ = ("_counts", "_failures")

    def __init__(self) -> None:
        self._counts = [0] * len(BUCKET_BOUNDS_MS)
        self._failures = 0

    def served(self, latency_ms: float) -> None:
        """A request was answered well, so long after it was sent to the node."""
        self._counts[bucket_of(latency_ms)] += 1

    def failed(self) -> None:
        """The node could not be reached, broke off, was too slow, or answered something else than a result."""
        self._failures += 1

    def total(self) -> Measured:
        """All of it so far."""
        return Measured(Histogram(tuple(self._counts)), self._failures)
