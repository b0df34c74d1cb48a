"""A participant's update: its weights where they lie, how many examples it is of, and whether it can be used at all."""

import math

import numpy as np

from backend.domain.errors import shown
from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.federated.layout import Layout
from backend.domain.federated.tasks import EXAMPLES_MAX
from backend.domain.federated.weights import COLUMNS, Floats, Weights, columns

VALUE_MAX = 1e12  # of any weight, either sign: what is larger is no model, and its square would soon be infinite


class Update:
    """Weights that a participant sent, or the bytes of their file, from so many examples; raises UpdateRejected.

    Only its form is known to be right: `check` looks at what it says.
    """

    def __init__(self, source: Weights | bytes | memoryview, examples: int) -> None:
        if not 1 <= examples <= EXAMPLES_MAX:
            raise UpdateRejected(Fault.WRONG_EXAMPLES, f"{examples} examples", f"1 to {EXAMPLES_MAX}")
        self.examples = examples
        self.weights = source if isinstance(source, Weights) else Weights(source)

    @property
    def layout(self) -> Layout:
        """Its tensors."""
        return self.weights.layout

    def check(self, reference: Layout) -> None:
        """Raise UpdateRejected unless it has the tensors of `reference` and nothing but usable numbers in them."""
        reference.check_fits(self.layout)
        scratch = np.empty(COLUMNS, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # which is what is looked for
            for start, stop in columns(self.weights.size):
                _check_values(self.weights.block(start, stop, scratch))

    def distance(self, base: Floats) -> float:
        """L2 norm of its difference to `base`, in double precision."""
        scratch = np.empty(COLUMNS, np.float32)
        total = 0.0
        for start, stop in columns(self.weights.size):
            change = np.subtract(self.weights.block(start, stop, scratch), base[start:stop], dtype=np.float64)
            total += float(change @ change)
        return math.sqrt(total)


def _check_values(block: Floats) -> None:
    # The sum of squares is one quick pass; only where it shows that something may be wrong, each number is looked at.
    if float(block @ block) <= VALUE_MAX**2:
        return
    if not np.isfinite(block).all():
        raise UpdateRejected(Fault.NOT_FINITE, "some of its numbers are infinite or none")
    largest = float(np.abs(block).max())
    if largest > VALUE_MAX:
        raise UpdateRejected(Fault.OUT_OF_RANGE, f"a weight of {shown(largest)}", f"at most {VALUE_MAX:g} either way")
