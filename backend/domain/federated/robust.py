"""Coordinate-wise rules that hold against some bad updates: the median and the trimmed mean (Yin et al. 2018).

Neither looks at examples: a bad participant would only claim more of them.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS, Floats, columns

BLOCK_BYTES = 1 << 20  # of the numbers that are sorted at once: two such blocks fit in a core's cache
LINE = 16  # numbers in a line of the cache


def median(updates: Sequence[Update]) -> Floats:
    """The middle one of each weight; the mean of the two middle ones where their number is even."""
    low, high = (len(updates) - 1) // 2, len(updates) // 2
    return _sorted_columns(updates, lambda rows: (rows[:, low] + rows[:, high]) * np.float32(0.5))


def trimmed_mean(updates: Sequence[Update], share: float) -> Floats:
    """The mean of each weight without the given share of the least and of the largest, each rounded down."""
    cut = int(share * len(updates))
    return _sorted_columns(updates, lambda rows: rows[:, cut : len(updates) - cut].mean(axis=1))


def _sorted_columns(updates: Sequence[Update], reduce: Callable[[Floats], NDArray[np.floating]]) -> Floats:
    """What `reduce` makes of each weight's numbers in order: it gets a row of them per weight."""
    result = np.empty(updates[0].weights.size, np.float32)
    # An odd number of lines: numbers that are a power of two apart compete for the same places of the cache.
    width = LINE * (min(COLUMNS, BLOCK_BYTES // (4 * len(updates))) // LINE | 1)
    scratch = np.empty(width, np.float32)
    stack = np.empty((len(updates), width), np.float32)
    for start, stop in columns(result.size, width):
        for number, update in enumerate(updates):
            stack[number, : stop - start] = update.weights.block(start, stop, scratch)
        rows = np.ascontiguousarray(stack[:, : stop - start].T)
        rows.sort(axis=1)
        result[start:stop] = reduce(rows)
    return result
