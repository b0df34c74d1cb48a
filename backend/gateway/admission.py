"""How many requests may be under way at once: counters that refuse instead of letting a queue grow."""

from collections.abc import Iterator
from contextlib import contextmanager

from backend.domain.errors import Unavailable
from backend.domain.tiers import TierName
from backend.domain.urgency import Places


class Admission:
    """Places for requests; used from one event loop only, so no lock is needed."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self.taken >= self.places

    @contextmanager
    def place(self, full: Unavailable) -> Iterator[None]:
        """Hold a place for the length of the block; raises `full` when there is none."""
        if self.full:
            raise full
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class TierAdmission:
    """Places for requests of all tiers, some of which are kept for each; used as `Admission` is."""

    def __init__(self, places: int) -> None:
        self._places = Places(places)

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._places.taken

    @contextmanager
    def place(self, tier: TierName, full: Unavailable) -> Iterator[None]:
        """Hold a place for the length of the block; raises `full` when there is none for this tier."""
        if not self._places.take(tier):
            raise full
        try:
            yield
        finally:
            self._places.leave(tier)
