"""What monitoring is told of breakers: a bounded number of names, and one sum per kind of all the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.messaging.breaker import Breaker

NAMED_MAX = 100  # of one process; each is a handful of time series
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one breaker, or of all those of a kind that have no name of their own: how many, in which states."""

    kind: str
    name: str
    states: dict[str, int]
    trips: int
    rejected: int


class Tallies:
    """Who has a name, and what those without one counted before they were dropped. Not thread-safe."""

    def __init__(self) -> None:
        self._named: set[str] = set()
        self._gone: dict[str, tuple[int, int]] = {}

    def name(self, breaker: Breaker) -> None:
        """A breaker was made: it keeps its name, or lack of one, for life, so that no counter ever falls."""
        if len(self._named) < NAMED_MAX:
            self._named.add(breaker.label)

    def forget(self, kind: str, breaker: Breaker) -> None:
        """A breaker was dropped."""
        if breaker.label in self._named:
            self._named.discard(breaker.label)
        else:
            trips, rejected = self._gone.get(kind, (0, 0))
            self._gone[kind] = trips + breaker.trips, rejected + breaker.rejected

    def figures(self, breakers: Sequence[tuple[str, Breaker]]) -> list[Figures]:
        """The named ones, then the others by kind."""
        named, others = [], {kind: Figures(kind, OTHER, {}, *gone) for kind, gone in self._gone.items()}
        for kind, breaker in breakers:
            state = breaker.current_state
            if breaker.label in self._named:
                named.append(Figures(kind, breaker.label, {state: 1}, breaker.trips, breaker.rejected))
                continue
            so_far = others.get(kind) or Figures(kind, OTHER, {}, 0, 0)
            states = {**so_far.states, state: so_far.states.get(state, 0) + 1}
            trips, rejected = so_far.trips + breaker.trips, so_far.rejected + breaker.rejected
            others[kind] = Figures(kind, OTHER, states, trips, rejected)
        return [*named, *others.values()]
