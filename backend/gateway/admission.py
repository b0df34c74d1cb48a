"""How many requests may be under way at once: a counter that refuses instead of letting a queue grow."""

from collections.abc import Iterator
from contextlib import contextmanager

from backend.domain.errors import Unavailable


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
