"""How many requests may be under way at once: counters that refuse instead of letting a queue grow."""

from collections.abc import Callable
from functools import partial

from backend.domain.errors import Unavailable
from backend.domain.tiers import TierName
from backend.domain.urgency import Places

Refusal = Callable[[], Unavailable]


class Held:
    """Something taken, given back at the end of the block that this is entered by.

    A generator would do the same, at nearly three times the cost; every request holds several.
    """

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], object]) -> None:
        self._give_back = give_back

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._give_back()


class Admission:
    """Places for requests; used from one event loop only, so no lock is needed."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self._held = Held(self._leave)

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self.taken >= self.places

    def place(self, full: Refusal) -> Held:
        """Take a place for the length of a block; raises what `full` makes when there is none."""
        if self.full:
            raise full()
        self.taken += 1
        return self._held

    def _leave(self) -> None:
        self.taken -= 1


class TierAdmission:
    """Places for requests of all tiers, some of which are kept for each; used as `Admission` is."""

    def __init__(self, places: int) -> None:
        self._places = Places(places)

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._places.taken

    def place(self, tier: TierName, full: Refusal) -> Held:
        """Take a place for the length of a block; raises what `full` makes when there is none for this tier."""
        if not self._places.take(tier):
            raise full()
        return Held(partial(self._places.leave, tier))
