"""How many replicas the load asks for: from backlog, in flight, arrivals and waits, without flapping.

The rate at which one replica works is measured, not stated: what was served in a while, over the time that replicas
were busy in it (Little's law). A wish must last before it is followed, steps are bounded, and who is busy stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from math import ceil
from typing import Any

from backend.domain.errors import Invalid, shown

SAMPLES_MAX = 2_000  # remembered of one entry: more than the longest window at one observation a second
GAP_MAX = timedelta(seconds=15)  # who has not looked for so long begins anew
RATE_WINDOW = timedelta(seconds=120)
BUSY_S_MIN = 2.0  # replica-seconds of work before a rate is believed
RATE_MIN = 1e-6  # items a second; what is slower tells nothing
TOLERANCE = 0.1  # of what is needed: arrivals wander by so much without meaning anything


class Cause(StrEnum):
    """Why a number of replicas was chosen."""

    STEADY = "steady"
    LOAD = "load"
    WAIT = "wait"
    FROM_ZERO = "from_zero"
    IDLE = "idle"
    FALLING = "falling"
    STABILISING = "stabilising"
    COOLING_DOWN = "cooling_down"
    BUSY = "busy"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """How an entry of the fleet follows its load.

    `items_per_replica` counts while a replica's rate is not known yet; `drain_s` is how soon a backlog should be gone;
    `wait_ms` the p95 wait that is tolerated (0: any); `utilisation_percent` what a replica may be loaded with. Windows
    are how long a wish must last; steps are replicas at once; nothing is taken away within `cool_down_s` of a change.
    """

    items_per_replica: int = 100
    drain_s: int = 10
    wait_ms: int = 5_000
    utilisation_percent: int = 80
    up_window_s: int = 2
    down_window_s: int = 60
    up_step: int = 4
    down_step: int = 1
    cool_down_s: int = 30

    def wire(self) -> dict[str, int]:
        """As JSON has it; see `policy_of`."""
        return asdict(self)


_RANGES: Mapping[str, tuple[int, int]] = {
    "items_per_replica": (1, 1_000_000),
    "drain_s": (1, 3_600),
    "wait_ms": (0, 3_600_000),
    "utilisation_percent": (10, 100),
    "up_window_s": (0, 600),
    "down_window_s": (0, 1_800),
    "up_step": (1, 100),
    "down_step": (1, 100),
    "cool_down_s": (0, 3_600),
}


def policy_of(stated: Mapping[str, Any]) -> ScalingPolicy:
    """The policy that is stated, with defaults for the rest; raises Invalid with `policy.<field>`."""
    known = {field.name for field in fields(ScalingPolicy)}
    for name, value in stated.items():
        if name not in known:
            raise _refused(str(name)[:60], f"{shown(name)} is not a setting of a policy", ", ".join(sorted(known)))
        least, most = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _refused(name, f"{name} {shown(value)}", f"{least} to {most}")
    return ScalingPolicy(**stated)


def _refused(name: str, message: str, accepted: str) -> Invalid:
    return Invalid(message, code="invalid_policy", field=f"policy.{name}", accepted=accepted)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an entry has now, and may have."""

    replicas: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Observation:
    """A queue as it was: items waiting and claimed, arrivals a second, the p95 wait, replicas living and at work.

    `unserved` are items of orders that nobody could take since no replica lives; `arrived` are those that came since
    the last observation.
    """

    at: datetime
    backlog: int
    in_flight: int
    arrivals_per_s: float
    wait_ms_p95: int
    living: int
    busy: int
    unserved: int = 0
    arrived: int = 0

    @property
    def load(self) -> int:
        """Items that are not done."""
        return self.backlog + self.in_flight

    @property
    def idle(self) -> bool:
        """Whether there is nothing at all to do."""
        return not (self.load or self.unserved or self.arrivals_per_s)


@dataclass(frozen=True, slots=True)
class Sample:
    """An observation, and the replicas that it asked for."""

    seen: Observation
    required: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one entry, oldest first; empty after a restart, which only delays taking away."""

    samples: tuple[Sample, ...] = ()
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, and why."""

    replicas: int
    cause: Cause
    required: int
    seen: Observation

    @property
    def reason(self) -> str:
        """The cause and what was seen, for people."""
        seen = self.seen
        return (
            f"{self.cause}: {self.required} needed for {seen.backlog} waiting, {seen.in_flight} in flight,"
            f" {seen.unserved} unserved, {seen.arrivals_per_s:.1f}/s arriving, p95 wait {seen.wait_ms_p95} ms;"
            f" {seen.busy} of {seen.living} busy"
        )


def decide(policy: ScalingPolicy, bounds: Bounds, record: Record, seen: Observation) -> tuple[Decision, Record]:
    """The replicas wanted at `seen.at`, within bounds, and the record to decide with next time."""
    samples = _recent(policy, record.samples, seen)
    required, by_wait = _required(policy, bounds, [*(sample.seen for sample in samples), seen])
    samples = (*samples, Sample(seen, required))[-SAMPLES_MAX:]
    replicas, cause = _choose(policy, bounds, samples, record.changed_at)
    if cause is Cause.LOAD and by_wait:
        cause = Cause.WAIT
    bounded = min(max(replicas, bounds.least), bounds.most)
    if bounded != replicas and bounded == bounds.replicas:
        cause = Cause.LIMIT
    changed_at = seen.at if bounded != bounds.replicas else record.changed_at
    return Decision(bounded, cause, required, seen), Record(samples, changed_at)


def _recent(policy: ScalingPolicy, samples: Sequence[Sample], seen: Observation) -> tuple[Sample, ...]:
    """The samples that still count: of the windows, and one before, so that a window is seen to be covered."""
    if samples and seen.at - samples[-1].seen.at > GAP_MAX:
        return ()
    longest = max(RATE_WINDOW, timedelta(seconds=max(policy.up_window_s, policy.down_window_s)))
    old = sum(sample.seen.at <= seen.at - longest for sample in samples)
    return tuple(samples[max(0, old - 1) :])


def _required(policy: ScalingPolicy, bounds: Bounds, history: Sequence[Observation]) -> tuple[int, bool]:
    """Replicas for the load as it is, and whether it is the wait that asks for more than the load does."""
    seen = history[-1]
    if seen.idle:
        return 0, False
    rate = _rate(history)
    if rate is None:
        by_load = ceil((seen.load + seen.unserved) / policy.items_per_replica)
        by_load = max(by_load, min(bounds.replicas, seen.living) if seen.arrivals_per_s else 0)
    else:
        arriving = seen.arrivals_per_s * 100 / policy.utilisation_percent
        by_load = _tolerant((arriving + (seen.backlog + seen.unserved) / policy.drain_s) / rate, bounds.replicas)
    by_load = max(by_load, 1)
    late = bool(policy.wait_ms and seen.backlog and seen.wait_ms_p95 > policy.wait_ms)
    # One more, and only once those that were asked for are there: a wait falls late, and must not be answered twice.
    if late and by_load <= bounds.replicas <= seen.living:
        return bounds.replicas + 1, True
    return by_load, False


def _tolerant(needed: float, replicas: int) -> int:
    """Whole replicas for what is needed; as many as there are, if that is as good as right."""
    few, many = ceil(needed / (1 + TOLERANCE)), ceil(needed * (1 + TOLERANCE))
    return replicas if few <= replicas <= many else ceil(needed)


def _rate(history: Sequence[Observation]) -> float | None:
    """Items a second of one busy replica, over the last RATE_WINDOW; None when too little was done to tell."""
    since = history[-1].at - RATE_WINDOW
    recent = [one for one in history if one.at >= since]
    busy_s, arrived = 0.0, 0
    for before, after in pairwise(recent):
        passed_s = (after.at - before.at).total_seconds()
        busy_s += passed_s * (before.busy + after.busy) / 2
        arrived += after.arrived
    served = arrived - (recent[-1].load - recent[0].load)
    rate = served / max(busy_s, BUSY_S_MIN)
    return rate if busy_s >= BUSY_S_MIN and rate >= RATE_MIN else None


def _choose(
    policy: ScalingPolicy, bounds: Bounds, samples: Sequence[Sample], changed_at: datetime | None
) -> tuple[int, Cause]:
    """Replicas after stabilisation, steps and cool-down; the caller applies the bounds."""
    seen, required = samples[-1].seen, samples[-1].required
    now, current = seen.at, bounds.replicas
    if current == 0:
        return (min(required, policy.up_step), Cause.FROM_ZERO) if required else (0, Cause.STEADY)
    lasting = min(sample.required for sample in _within(samples, now, policy.up_window_s))
    if lasting > current:
        return min(lasting, current + policy.up_step), Cause.LOAD
    if required >= current:
        return current, Cause.STABILISING if required > current else Cause.STEADY
    highest = max(sample.required for sample in _within(samples, now, policy.down_window_s))
    if highest >= current or samples[0].seen.at > now - timedelta(seconds=policy.down_window_s):
        return current, Cause.STABILISING
    if changed_at is not None and now - changed_at < timedelta(seconds=policy.cool_down_s):
        return current, Cause.COOLING_DOWN
    # Nobody who is at work is sent away, however little the load: a few long items are no backlog.
    floor = max(highest, seen.busy, 1 if seen.load else 0)
    if floor >= current:
        return current, Cause.BUSY
    return max(floor, current - policy.down_step), Cause.IDLE if seen.idle else Cause.FALLING


def _within(samples: Sequence[Sample], now: datetime, window_s: int) -> list[Sample]:
    """The samples of the last `window_s`, the newest always among them."""
    since = now - timedelta(seconds=window_s)
    return [sample for sample in samples if sample.seen.at >= since]
