"""How far a batch is: requests that have their end, how many a second, and how long the rest should take."""

from dataclasses import dataclass
from datetime import datetime

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` requests have run or failed; rate and time left are None where nothing can be said of them."""

    done: int
    total: int
    rate_per_s: float | None = None
    left_s: float | None = None

    @property
    def done_ppm(self) -> int:
        """The share that is done, rounded down: all of it is only what is all of it."""
        return self.done * PPM // self.total if self.total else 0


def progress(done: int, total: int, begun_at: datetime | None, until: datetime, *, runs: bool) -> Progress:
    """Progress since `begun_at`; the rest of one that `runs` is expected to go on as fast on average as it did."""
    seconds = (until - begun_at).total_seconds() if begun_at else 0.0
    rate = done / seconds if done and seconds > 0 else None
    left = (total - done) / rate if runs and rate else None
    return Progress(done, total, rate, left)
