"""What is known of a tensor while a graph is walked, and of the node that is looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


class Unproven(Exception):
    """A node for which no rule says that it keeps rows apart; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor with as many entries along its first axis as there are rows, each made of its own row only."""

    rank: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A tensor that is the same whatever is sent; its shape and, of a small one, its values where they are known."""

    shape: tuple[int, ...] | None = None
    value: npt.NDArray[Any] | None = None

    def spreads(self, rank: int) -> bool:
        """Whether it is the same for each row of a tensor of that rank, when one is broadcast to the other."""
        if self.shape is None or len(self.shape) > rank:
            return False
        return len(self.shape) < rank or self.shape[0] == 1


Known = Rows | Fixed


@dataclass(frozen=True, slots=True)
class Step:
    """A node of a graph with what is known of its inputs (None for those left out).

    `entries` is how many values each row of the first input has, where that is the same for all requests.
    """

    op: str
    inputs: tuple[Known | None, ...]
    attributes: dict[str, Any]
    outputs: int
    entries: int | None

    def rows(self, place: int = 0, rank_min: int = 1) -> Rows:
        """The input at `place`, which has to be rows of that rank at least."""
        found = self.given(place)
        if not isinstance(found, Rows) or found.rank < rank_min:
            raise Unproven(f"{self.op}: input {place} is not rows of rank {rank_min} or more")
        return found

    def given(self, place: int) -> Known | None:
        """The input at `place`, None if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def fixed(self, place: int) -> Fixed:
        """The input at `place`, which no request may change."""
        found = self.given(place)
        if not isinstance(found, Fixed):
            raise Unproven(f"{self.op}: input {place} is not fixed")
        return found

    def rest_fixed(self, start: int = 1) -> None:
        """Have all inputs from `start` on be fixed or left out."""
        if any(isinstance(one, Rows) for one in self.inputs[start:]):
            raise Unproven(f"{self.op}: a parameter comes of what is sent")

    def whole_numbers(self, place: int) -> list[int]:
        """The values of the fixed input at `place`, in one line."""
        value = self.fixed(place).value
        if value is None or value.dtype.kind not in "iu" or value.ndim > 1:
            raise Unproven(f"{self.op}: the values of input {place} are not known")
        return [int(one) for one in np.atleast_1d(value)]

    def beside_rows(self, axis: int, rank: int) -> int:
        """`axis`, which may count from the end, as a place behind the first one of `rank`."""
        place = axis + rank if axis < 0 else axis
        if not 0 < place < rank:
            raise Unproven(f"{self.op}: axis {axis} of rank {rank} is that of the rows, or none")
        return place

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, as a place behind the first."""
        return self.beside_rows(int(self.attributes.get("axis", default)), rank)

    def no(self, why: str) -> Unproven:
        """The refusal of this node."""
        return Unproven(f"{self.op}: {why}")
