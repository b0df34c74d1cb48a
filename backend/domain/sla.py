"""What an order with an SLA was promised, what was measured of it, and what a broken promise is worth.

Requests are measured in windows, one at a time for an account, a provider and a tier. What the provider earned in a
window waits until it closes.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.ids import AccountId, SlaWindowId
from backend.domain.money import PPM, round_up
from backend.domain.tiers import Ladder, TierName

WINDOW = timedelta(hours=1)
WINDOW_REQUESTS = 1_000  # a window that has counted so many is over before its hour is
PERCENTILE_PPM = 950_000

# Upper bounds of the buckets that latencies are counted in, in milliseconds, about a quarter apart up to ten seconds.
# Every tier's default target is one, since a percentile reads as its bucket's bound. The last is above any deadline.
BUCKET_BOUNDS_MS = (
    *(1, 2, 3, 4, 5, 6, 8),
    *(step * scale for scale in (1, 10, 100) for step in (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)),
    *(step * scale for scale in (10_000, 100_000, 1_000_000, 10_000_000) for step in (1, 2, 5)),
    100_000_000,
)


def bucket_of(latency_ms: float) -> int:
    """The number of the bucket that a latency counts in."""
    return min(bisect_left(BUCKET_BOUNDS_MS, latency_ms), len(BUCKET_BOUNDS_MS) - 1)


class SlaState(StrEnum):
    """Whether a window still counts events."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Promise:
    """What a tier promises, and by which ladder it pays."""

    latency_ms_p95: int
    uptime_ppm: int
    ladder: Ladder


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many requests took how long: a count per bucket of BUCKET_BOUNDS_MS, a latency in the first that holds it."""

    counts: tuple[int, ...] = (0,) * len(BUCKET_BOUNDS_MS)

    @classmethod
    def of(cls, latencies_ms: Iterable[int]) -> "Histogram":
        """The histogram of these; what is above the last bound counts in the last bucket."""
        counts = [0] * len(BUCKET_BOUNDS_MS)
        for latency in latencies_ms:
            counts[bucket_of(latency)] += 1
        return cls(tuple(counts))

    def merged(self, other: "Histogram") -> "Histogram":
        """Both together."""
        return Histogram(tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)))

    def since(self, known: "Histogram") -> "Histogram":
        """What of a running total is not in what is known of it yet, bucket by bucket."""
        pairs = zip(self.counts, known.counts, strict=True)
        return Histogram(tuple(max(0, total - before) for total, before in pairs))

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def percentile_ms(self, share_ppm: int) -> int | None:
        """The upper bound of the bucket in which that share of all (nearest rank) is reached; None if it is empty."""
        rank = max(1, round_up(self.total * share_ppm, PPM))
        seen = 0
        for bound, count in zip(BUCKET_BOUNDS_MS, self.counts, strict=True):
            seen += count
            if seen >= rank:
                return bound
        return None


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests that were served, by their latency, and those that failed."""

    latencies: Histogram = Histogram()
    failures: int = 0

    @property
    def requests(self) -> int:
        """All of them."""
        return self.latencies.total + self.failures

    @property
    def uptime_ppm(self) -> int:
        """The share of requests that were served, rounded down; of none, all were."""
        return self.latencies.total * PPM // self.requests if self.requests else PPM

    @property
    def latency_ms_p95(self) -> int | None:
        """What 95 % of the requests that were served did not exceed; None if none was."""
        return self.latencies.percentile_ms(PERCENTILE_PPM)

    def merged(self, other: "Measured") -> "Measured":
        """Both together."""
        return Measured(self.latencies.merged(other.latencies), self.failures + other.failures)

    def since(self, known: "Measured") -> "Measured":
        """What of a running total is not in what is known of it yet; nothing of a total that came late."""
        return Measured(self.latencies.since(known.latencies), max(0, self.failures - known.failures))


def credit_ppm(promise: Promise, measured: Measured) -> int:
    """The share of a window's charge that goes back to the buyer.

    Uptime pays by the ladder, but nothing where the promised one is met. A p95 above the target pays what the
    ladder's first step does.
    """
    steps = sorted(promise.ladder, reverse=True)
    missed = [credit for below, credit in steps if measured.uptime_ppm < min(below, promise.uptime_ppm)]
    p95 = measured.latency_ms_p95
    if p95 is not None and p95 > promise.latency_ms_p95:
        missed += [credit for _, credit in steps[:1]]
    return max(missed, default=0)


def credit_nano(charged_nano: int, share_ppm: int) -> int:
    """That share of a charge; rounded up like the charge itself, and never above it."""
    return min(charged_nano, round_up(charged_nano * share_ppm, PPM))


@dataclass(frozen=True, slots=True)
class SlaWindow:
    """What a provider did for an account in a tier, from its first event until it has lasted or counted enough.

    `charged_nano` is what the provider got for it, without the market's fees. `latency_ms_p95`, `uptime_ppm` and
    `credit_ppm` are decided when it closes; `credit_nano` is what was paid then.
    """

    id: SlaWindowId
    account_id: AccountId
    provider_id: AccountId
    tier: TierName
    state: SlaState
    opened_at: datetime
    measured: Measured = Measured()
    charged_nano: int = 0
    withheld_nano: int = 0
    closed_at: datetime | None = None
    latency_ms_p95: int | None = None
    uptime_ppm: int | None = None
    credit_ppm: int | None = None
    credit_nano: int = 0

    def counting(self, measured: Measured, charged_nano: int = 0, withheld_nano: int = 0) -> "SlaWindow":
        """The window after more service."""
        return replace(
            self,
            measured=self.measured.merged(measured),
            charged_nano=self.charged_nano + charged_nano,
            withheld_nano=self.withheld_nano + withheld_nano,
        )

    def is_over(self, now: datetime) -> bool:
        """Whether it has lasted for WINDOW or counted WINDOW_REQUESTS."""
        return now - self.opened_at >= WINDOW or self.measured.requests >= WINDOW_REQUESTS

    def judged(self, promise: Promise, charged_nano: int, now: datetime) -> "SlaWindow":
        """The window closed, with its verdict; `charged_nano` is what of its charges was not reversed since."""
        return replace(
            self,
            state=SlaState.CLOSED,
            closed_at=now,
            charged_nano=charged_nano,
            latency_ms_p95=self.measured.latency_ms_p95,
            uptime_ppm=self.measured.uptime_ppm,
            credit_ppm=credit_ppm(promise, self.measured),
        )

    @property
    def owed_nano(self) -> int:
        """What its verdict is worth."""
        return credit_nano(self.charged_nano, self.credit_ppm or 0)
