"""Items that were not run for no fault of theirs go back without an attempt, though not for ever.

A node that can never run them would keep them from running elsewhere.
"""

from collections.abc import Iterable
from threading import Lock

from backend.domain.ids import ItemId

SPARED_MAX = 60  # times that an item comes back without an attempt: half a minute at least
SPARED_ITEMS_MAX = 10_000  # that are remembered
AWAY_S = 0.5  # what could not be run is not handed back, and so claimed again, any quicker


class Spared:
    """How often each item came back without an attempt; safe for several threads."""

    def __init__(self) -> None:
        self._times: dict[ItemId, int] = {}  # what was not spared for longest is first, and forgotten first
        self._lock = Lock()

    def may_be(self, item_id: ItemId) -> bool:
        """Whether it may be spared once more."""
        with self._lock:
            return self._times.get(item_id, 0) < SPARED_MAX

    def count(self, items: Iterable[ItemId]) -> None:
        """These were spared."""
        with self._lock:
            for item_id in items:
                self._times[item_id] = self._times.pop(item_id, 0) + 1
            while len(self._times) > SPARED_ITEMS_MAX:
                del self._times[next(iter(self._times))]

    def forget(self, items: Iterable[ItemId]) -> None:
        """These ran, or have failed."""
        if not self._times:  # as nearly always
            return
        with self._lock:
            for item_id in items:
                self._times.pop(item_id, None)
