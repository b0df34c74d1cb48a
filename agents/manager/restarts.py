"""When a member that died may be started again: soon at first, ever later if it keeps dying."""

from dataclasses import dataclass

from agents.backoff import delay_s
from agents.runtimes.base import MemberKey

FIRST_S = 0.2
MAX_S = 15.0
STEADY_S = 30.0  # who ran so long has proven that it can: its earlier deaths are forgotten


@dataclass(slots=True)
class _Record:
    started_s: float
    deaths: int = 0
    not_before_s: float = 0.0


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
        self._records.setdefault(key, _Record(now_s)).started_s = now_s

    def died(self, key: MemberKey, now_s: float) -> float:
        """It ended unasked, or could not be started; the seconds that it has to pause."""
        record = self._records.setdefault(key, _Record(now_s))
        record.deaths = 1 if now_s - record.started_s >= STEADY_S else record.deaths + 1
        pause_s = delay_s(record.deaths, 0.0, FIRST_S, MAX_S)
        record.not_before_s = now_s + pause_s
        return pause_s

    def forget(self, key: MemberKey) -> None:
        """It ended as it should."""
        self._records.pop(key, None)
