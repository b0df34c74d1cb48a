"""Why events were lost, and how many: the bus drops and refuses, but never silently."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from threading import Lock


class Loss(StrEnum):
    """A reason; the first three are a publisher's, the others a listener's."""

    UNENCODABLE = "unencodable"  # its key is too long, or is not text
    SURPLUS = "surplus"  # the oldest of a publish of too many
    UNREACHABLE = "unreachable"  # the server is away
    OVERFLOW = "overflow"  # the oldest of what piled up before a listener that is too slow
    OVERSIZED = "oversized"
    CORRUPT = "corrupt"
    NEWER_VERSION = "newer_version"
    UNKNOWN_TOPIC = "unknown_topic"
    MISDIRECTED = "misdirected"  # in a channel of ours, yet for somebody else


UNSENT = (Loss.UNENCODABLE, Loss.SURPLUS, Loss.UNREACHABLE)


class Losses:
    """Counters by reason; any thread may add."""

    def __init__(self) -> None:
        self._counts: Counter[Loss] = Counter()
        self._turn = Lock()

    def add(self, reason: Loss, count: int = 1) -> bool:
        """Count `count` lost events; whether they are the first for this reason."""
        with self._turn:
            first = not self._counts[reason]
            self._counts[reason] += count
            return first

    def by_reason(self) -> Mapping[Loss, int]:
        """The counts so far; reasons that never occurred are absent."""
        with self._turn:
            return {reason: count for reason, count in self._counts.items() if count}

    def total(self, *reasons: Loss) -> int:
        """Lost events for these reasons, or for any reason when none is named."""
        counts = self.by_reason()
        return sum(counts.get(reason, 0) for reason in reasons or counts)
