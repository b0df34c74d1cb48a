"""Two contenders measured in turns, so that whatever else the machine does hits both."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS = 5

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Figures of the rounds, ours and the reference's, pair by pair."""

    ours: tuple[float, ...]
    reference: tuple[float, ...]

    @property
    def value(self) -> float:
        """Our median."""
        return median(self.ours)

    @property
    def reference_value(self) -> float:
        """The reference's median."""
        return median(self.reference)

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios: a round in which the machine was slow was slow for both."""
        return median(ours / other for ours, other in zip(self.ours, self.reference, strict=True))


def measure(ours: Measure, reference: Measure, step: Callable[[], None], rounds: int = ROUNDS) -> Pairs:
    """Run both `rounds` times after a round that does not count; they take turns at going first."""
    ours(), reference()
    figures: dict[Measure, list[float]] = {ours: [], reference: []}
    for number in range(rounds):
        for contender in (ours, reference) if number % 2 else (reference, ours):
            figures[contender].append(contender())
        step()
    return Pairs(tuple(figures[ours]), tuple(figures[reference]))
