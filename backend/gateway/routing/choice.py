"""Which of several equals is asked next: of two taken at random the one with less to do."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def less_loaded(candidates: Sequence[T], load: Callable[[T], float], random: Random) -> T:
    """One of `candidates` (at least one) by the power of two choices (Mitzenmacher 2001).

    The longest queue is exponentially shorter than by chance, and unlike with the least loaded of all, those who look
    at the same moment do not all run to the same one.
    """
    if len(candidates) < 3:
        first, second = candidates[0], candidates[-1]
        if len(candidates) == 2 and random.random() < 0.5:  # so that neither wins all ties
            first, second = second, first
    else:
        first, second = random.sample(candidates, 2)
    return first if load(first) <= load(second) else second
