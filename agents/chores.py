"""Duties of one agent that must not hold each other up: one that fails waits alone, the rest go on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from backend.domain.backoff import MAX_S, delay_s

log = structlog.get_logger(__name__)


@dataclass
class Chore:
    """A duty done at most every `every_s`; `run` returns whether there is more to do at once.

    One that failed rests ever longer, up to `retry_max_s`.
    """

    name: str
    run: Callable[[datetime], bool]
    every_s: float = 0.0
    retry_max_s: float = MAX_S
    failures: int = 0
    due_at: float = 0.0


def run_due(chores: Sequence[Chore], now: datetime, monotonic_s: float, jitter: float) -> bool:
    """Run the chores that are due, in their order; returns whether one of them has more to do at once.

    A chore that raises is logged and not run again before its back-off is over.
    """
    again = False
    for chore in chores:
        if monotonic_s < chore.due_at:
            continue
        try:
            more = chore.run(now)
        except Exception as error:  # of any layer below
            chore.failures += 1
            wait_s = delay_s(chore.failures, jitter, max_s=chore.retry_max_s)
            chore.due_at = monotonic_s + wait_s
            log.warning(
                "chore.failed",
                chore=chore.name,
                error=repr(error),
                failures=chore.failures,
                retry_s=round(wait_s, 3),
            )
            continue
        chore.failures = 0
        chore.due_at = 0.0 if more else monotonic_s + chore.every_s
        again = again or more
    return again
