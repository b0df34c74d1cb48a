"""How tests wait: until it is so, however slow the machine is.

A wait ends as soon as what it waits for holds, so its limit costs nothing: it is there for what hangs, and no test
claims that anything is quicker. What is never to be waited for is given FOREVER_S; pytest's own time-out ends it.
"""

import time
from collections.abc import Callable

PATIENCE_S = 120.0
FOREVER_S = 3_600.0
POLL_S = 0.02


def until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> float:
    """Seconds until `condition` held; fails when it does not in time."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - started


def eventually(condition: Callable[[], object]) -> bool:
    """Whether `condition` comes to hold in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return bool(condition())
