"""Who gets whose slots, where not every machine suits every order: the assignment of the largest surplus."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.placement.fallback import near_maximum
from backend.domain.placement.flow import Ints, exact_maximum

PAIRS_EXACT_MAX = 500_000  # solved exactly in about 0.5 s; the fallback is faster above it


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Feasible pairs, a row each: positions of a bid and an ask, gain per slot, and how many slots it can take at most.

    `gain` is in nano-credits per slot-second and not negative. Nobody may leave out pairs that look dear: if each order
    keeps only its best few, all crowd the same machines.
    """

    bid: NDArray[np.int32]
    ask: NDArray[np.int32]
    gain: Ints
    slots: Ints

    def __len__(self) -> int:
        return len(self.bid)


def maximum_surplus(pairs: Pairs, demand: Ints, supply: Ints) -> Ints:
    """Slots of each pair, so that Σ gain × slots is the largest and, of equals, most slots are taken.

    `demand` is slots a bid wants, `supply` slots an ask has, none negative; neither is ever exceeded. Exact up to
    PAIRS_EXACT_MAX pairs (`exact_maximum` says how exact), near the maximum above it (`near_maximum` says how near).
    The same pairs give the same slots always.
    """
    solve = exact_maximum if len(pairs) <= PAIRS_EXACT_MAX else near_maximum
    return solve(pairs.bid, pairs.ask, pairs.gain, pairs.slots, demand, supply)
