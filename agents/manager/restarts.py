"""When a member that died may be started again: soon at first, ever later if it keeps dying; and when to cry out."""

from collections import deque
from dataclasses import dataclass, field

from agents.runtimes.base import MemberKey
from backend.domain.backoff import delay_s

FIRST_S = 0.2
MAX_S = 15.0
STEADY_S = 30.0  # who ran so long has proven that it can: its earlier deaths are forgotten
LOOP_DEATHS = 5  # within LOOP_S: a crash loop, which somebody should look into
LOOP_S = 120.0


@dataclass(slots=True)
class _Record:
    started_s: float | None = None  # None: it does not run
    deaths: int = 0
    not_before_s: float = 0.0
    died_s: deque[float] = field(default_factory=lambda: deque(maxlen=LOOP_DEATHS))
    loop_told: bool = False


class Restarts:
    """The history of each member's starts and deaths; times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._records: dict[MemberKey, _Record] = {}

    def may_start(self, key: MemberKey, now_s: float) -> bool:
        """Whether its pause is over."""
        record = self._records.get(key)
        return record is None or now_s >= record.not_before_s

    def started(self, key: MemberKey, now_s: float) -> None:
        """It runs now, or did when it was found."""
        self._records.setdefault(key, _Record()).started_s = now_s

    def died(self, key: MemberKey, now_s: float) -> float:
        """It ended unasked, or could not be started; the seconds that it has to pause."""
        record = self._records.setdefault(key, _Record())
        if record.started_s is not None and now_s - record.started_s >= STEADY_S:
            record.deaths, record.loop_told = 0, False
        record.started_s = None
        record.deaths += 1
        record.died_s.append(now_s)
        pause_s = delay_s(record.deaths, 0.0, FIRST_S, MAX_S)
        record.not_before_s = now_s + pause_s
        return pause_s

    def crash_loop(self, key: MemberKey, now_s: float) -> int:
        """How often it died within LOOP_S, if that is a crash loop and this is the first time that it is asked; or 0.

        Told once, until the member has been steady again.
        """
        record = self._records.get(key)
        if record is None or record.loop_told or len(record.died_s) < LOOP_DEATHS:
            return 0
        record.loop_told = now_s - record.died_s[0] <= LOOP_S
        return len(record.died_s) if record.loop_told else 0

    def forget(self, key: MemberKey) -> None:
        """It ended as it should."""
        self._records.pop(key, None)
