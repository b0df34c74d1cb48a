"""Whether an agent is well: it beats, its loop turns, its work gets done, and its container says so too.

Times are seconds that somebody has *watched* pass: a watcher that was away itself has seen nobody fall silent.
"""

from dataclasses import dataclass
from enum import StrEnum

START_MAX_S = 120.0  # to the first beat; killing what is slow to start makes a busy machine busier
SILENT_MAX_S = 10.0  # its work has long gone to others by then (AGENT_LOST_S); this is when the process is given up
TICK_MAX_S = 90.0  # longer than any statement or remote call may take
PROGRESS_MAX_S = 45.0  # with work at hand and none done; a message that got lost is sent again before
HELD_FACTOR = 5  # what an agent holds may take so many times its worst case before it counts as stuck


class Health(StrEnum):
    """How a member that runs is, as far as its runtime can tell."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"  # the runtime has no means of its own to ask


class Verdict(StrEnum):
    """What is to be thought of an agent; a sick one is restarted."""

    STARTING = "starting"
    HEALTHY = "healthy"
    SICK = "sick"


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen of an agent, in seconds.

    `age_s` since it was started or found; `silent_s` since its last beat (None: it never beat); `tick_s` how long its
    loop had not turned when it beat last (None: it has none); `unmoved_s` for how long it had work and did none;
    `held_us` the worst case of what it has in hand, in microseconds.
    """

    age_s: float
    silent_s: float | None = None
    tick_s: float | None = None
    unmoved_s: float = 0.0
    held_us: int = 0
    container: Health = Health.UNKNOWN


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A verdict and why."""

    verdict: Verdict
    reason: str = ""


def judge(signs: Signs, stuck_after_s: float = PROGRESS_MAX_S) -> Diagnosis:
    """The verdict on an agent, with the gravest reason first; `stuck_after_s` is how long work may stand still."""
    if signs.container is Health.UNHEALTHY:
        return Diagnosis(Verdict.SICK, "its container is unhealthy")
    if signs.silent_s is None:
        if signs.age_s > START_MAX_S:
            return Diagnosis(Verdict.SICK, f"not one beat in {signs.age_s:.0f} s")
        return Diagnosis(Verdict.STARTING)
    if signs.silent_s > SILENT_MAX_S:
        return Diagnosis(Verdict.SICK, f"no beat for {signs.silent_s:.0f} s")
    if signs.tick_s is not None and signs.tick_s > TICK_MAX_S:
        return Diagnosis(Verdict.SICK, f"it beats, but its loop hangs for {signs.tick_s:.0f} s")
    if signs.unmoved_s > stuck_after_s + HELD_FACTOR * signs.held_us / 1e6:
        return Diagnosis(Verdict.SICK, f"it beats, but did none of its work for {signs.unmoved_s:.0f} s")
    return Diagnosis(Verdict.HEALTHY)
