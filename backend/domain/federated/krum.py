"""Krum: the update that is nearest to its neighbours, or the mean of several such (Blanchard et al. 2017)."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS, Floats, columns

BLOCK_BYTES = 4 << 20  # of differences that a lane multiplies at once
LANES = 2  # that sum at the same time; not as many as there are cores, or sums would differ from machine to machine

Doubles = NDArray[np.float64]
Blocks = Sequence[tuple[int, int]]
Spread = Callable[[Callable[[Blocks], Doubles], Sequence[Blocks]], Iterable[Doubles]]


def in_turn(work: Callable[[Blocks], Doubles], lanes: Sequence[Blocks]) -> Iterable[Doubles]:
    """Sum the lanes one after the other; who has threads gives another such function."""
    return map(work, lanes)


def krum_order(updates: Sequence[Update], base: Floats, malicious: int, spread: Spread = in_turn) -> list[int]:
    """Numbers of the updates, that with the best Krum score first; of equal scores the earlier one.

    An update's score is the sum of its squared distances to the n − f − 2 nearest others, f being how many may be
    malicious; n > 2f + 2.
    """
    assert len(updates) > 2 * malicious + 2
    nearest = len(updates) - malicious - 2
    distances = squared_distances(updates, base, spread)
    near = np.sort(distances, axis=1)[:, 1 : nearest + 1]  # the least is that to itself
    return [int(number) for number in np.argsort(near.sum(axis=1), kind="stable")]


def squared_distances(updates: Sequence[Update], base: Floats, spread: Spread = in_turn) -> Doubles:
    """Squared L2 distances of each two updates, from the products of their differences to `base`.

    |a − b|² = |a|² + |b|² − 2ab loses what the numbers have in common: so `base` is taken off before, and the products
    are in double precision. What then is lost is far below what float32 holds.
    """
    width = max(1, min(COLUMNS, BLOCK_BYTES // (8 * len(updates))))
    blocks = list(columns(base.size, width))
    lanes = [blocks[lane::LANES] for lane in range(LANES)]
    products = sum(spread(lambda lane: _products(updates, base, lane, width), lanes), _zeros(len(updates)))
    squares = np.diagonal(products)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)


def _products(updates: Sequence[Update], base: Floats, blocks: Blocks, width: int) -> Doubles:
    """Products of the differences of each two updates to `base`, summed over some blocks of at most `width` columns."""
    count = len(updates)
    change, changes = np.empty(width, np.float32), np.empty((count, width))
    products, product = _zeros(count), _zeros(count)
    for start, stop in blocks:
        block = changes[:, : stop - start]
        for row, update in zip(block, updates, strict=True):
            weights = update.weights.block(start, stop, change)
            row[:] = np.subtract(weights, base[start:stop], out=change[: stop - start])
        products += np.matmul(block, block.T, out=product)
    return products


def _zeros(count: int) -> Doubles:
    return np.zeros((count, count))
