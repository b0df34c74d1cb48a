"""Calls and failures of the last seconds, in a ring of buckets: constant memory, constant work a call."""

BUCKETS = 10


class BreakerWindow:
    """Counts over the last `window_s`, of which up to a tenth is forgotten early: whole buckets are dropped.

    Not thread-safe: its breaker's lock guards it.
    """

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget all calls."""
        self._calls = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self._newest = self._place = 0  # the newest bucket: its number since the clock's zero, its place in the ring
        self._ends_s = 0.0
        self.calls = 0
        self.failures = 0

    def add(self, now_s: float, failures: int = 0) -> None:
        """Count one call that ended at `now_s`, as 0 or 1 failures."""
        if now_s >= self._ends_s:
            self._advance(now_s)
        self._calls[self._place] += 1
        self.calls += 1
        if failures:
            self._failures[self._place] += failures
            self.failures += failures

    def _advance(self, now_s: float) -> None:
        """Begin the bucket of `now_s`, and forget those that are too old by then."""
        newest = int(now_s / self._bucket_s)
        for number in range(max(self._newest, newest - BUCKETS) + 1, newest + 1):
            place = number % BUCKETS
            self.calls -= self._calls[place]
            self.failures -= self._failures[place]
            self._calls[place] = self._failures[place] = 0
        self._newest, self._place = newest, newest % BUCKETS
        self._ends_s = (newest + 1) * self._bucket_s
