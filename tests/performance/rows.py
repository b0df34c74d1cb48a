"""What a benchmark finds out: figures beside their references, and whether they keep their promises."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: the row's value, or its ratio to the reference, is at least or at most a limit."""

    of: Literal["value", "ratio"]
    sense: Literal["≥", "≤"]
    limit: float

    def __str__(self) -> str:
        return f"{self.of} {self.sense} {self.limit:g}"

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether the promise is kept; one about a ratio that does not exist is not."""
        figure = value if self.of == "value" else ratio
        if figure is None:
            return False
        return figure >= self.limit if self.sense == "≥" else figure <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `reference` says what it is held against, `ratio` is value to reference.

    Where both were measured in pairs, `ratio` is the median of the pairs' ratios. A row without a target only
    informs, and is always ok.
    """

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float | None
    ratio: float | None
    target: Target | None = None

    @property
    def ok(self) -> bool:
        """Whether the promise is kept."""
        return self.target is None or self.target.met(self.value, self.ratio)
