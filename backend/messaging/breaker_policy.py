"""When a breaker trips and how it recovers: the named limits of one kind of dependency."""

from collections.abc import Callable
from dataclasses import dataclass

NEVER = 1 << 62  # consecutive failures that nothing reaches
WINDOW_MAX_S = 3_600.0
RECOVERY_MAX_S = 3_600.0

Exclusion = type[BaseException] | Callable[[BaseException], bool]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Trips after `fail_max` failures in a row, or once `rate` of at least `volume_min` calls in `window_s` failed.

    Either may be None: then it never trips that way. A call that took `slow_s` or longer counts as a failure,
    whatever it returned. After `recovery_s` at most `permits` probes are under way at once; `successes` of them
    close the breaker, one failure opens it again. `exclude` are exceptions that are the caller's doing, not the
    dependency's: types, or functions that say so. Raises ValueError for limits that make no sense.
    """

    fail_max: int | None = 5
    rate: float | None = None
    volume_min: int = 20
    window_s: float = 30.0
    recovery_s: float = 5.0
    permits: int = 1
    successes: int = 1
    slow_s: float | None = None
    exclude: tuple[Exclusion, ...] = ()

    def __post_init__(self) -> None:
        if self.fail_max is None and self.rate is None:
            raise ValueError("without fail_max and rate nothing would ever trip")
        if min(self.fail_max or NEVER, self.volume_min, self.permits, self.successes) < 1:
            raise ValueError("fail_max, volume_min, permits and successes are 1 or more")
        if self.fail_max == 0:
            raise ValueError("fail_max is 1 or more, or None")
        if self.rate is not None and not 0.0 < self.rate <= 1.0:
            raise ValueError("rate is a share above 0, at most 1")
        if not (0.0 < self.window_s <= WINDOW_MAX_S and 0.0 < self.recovery_s <= RECOVERY_MAX_S):
            raise ValueError(f"window_s and recovery_s are above 0, at most {WINDOW_MAX_S:g} s")
        if self.slow_s is not None and self.slow_s <= 0.0:
            raise ValueError("slow_s is above 0, or None")
