"""Krum: the update that is nearest to its neighbours, or the mean of several such (Blanchard et al. 2017)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS, Floats, columns

BLOCK_BYTES = 8 << 20  # of differences that are multiplied at once

Doubles = NDArray[np.float64]


def krum_order(updates: Sequence[Update], base: Floats, malicious: int) -> list[int]:
    """Numbers of the updates, that with the best Krum score first; of equal scores the earlier one.

    An update's score is the sum of its squared distances to the n − f − 2 nearest others, f being how many may be
    malicious; n > 2f + 2.
    """
    assert len(updates) > 2 * malicious + 2
    nearest = len(updates) - malicious - 2
    distances = np.sort(squared_distances(updates, base), axis=1)[:, 1 : nearest + 1]  # the least is that to itself
    return [int(number) for number in np.argsort(distances.sum(axis=1), kind="stable")]


def squared_distances(updates: Sequence[Update], base: Floats) -> Doubles:
    """Squared L2 distances of each two updates, from the products of their differences to `base`.

    |a − b|² = |a|² + |b|² − 2ab loses what the numbers have in common: so `base` is taken off before, and the products
    are in double precision. What then is lost is far below what float32 holds.
    """
    count = len(updates)
    products = np.zeros((count, count), order="F")
    width = max(1, min(COLUMNS, BLOCK_BYTES // (8 * count)))
    change = np.empty(width, np.float32)
    changes = np.empty((count, width))
    for start, stop in columns(base.size, width):
        block = changes[:, : stop - start]
        for row, update in zip(block, updates, strict=True):
            weights = update.weights.block(start, stop, change)
            row[:] = np.subtract(weights, base[start:stop], out=change[: stop - start])
        # SciPy's, since NumPy's product wakes threads, which where cores are busy takes ten times as long (measured).
        products = dsyrk(1.0, block.T, beta=1.0, c=products, trans=1, overwrite_c=1)  # the upper half
    squares = np.diagonal(products)
    distances = np.triu(np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0), 1)
    return distances + distances.T
