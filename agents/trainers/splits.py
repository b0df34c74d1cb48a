"""How a data set is divided among participants: evenly, by Dirichlet shares of classes, or in shards of classes."""

import numpy as np
from numpy.typing import NDArray

IID, DIRICHLET, SHARDS = "iid", "dirichlet", "shards"
SPLITS = (IID, DIRICHLET, SHARDS)
SHARDS_EACH = 2

Labels = NDArray[np.int64]
Rows = NDArray[np.int64]


def split_rows(labels: Labels, partitions: int, split: str, alpha: float, rng: np.random.Generator) -> list[Rows]:
    """Rows of each partition: every row in exactly one of them, and none without a row while there are enough.

    `alpha` is of the Dirichlet distribution over partitions of every class (Hsu and others 2019): the smaller, the
    more do they differ. Shards are the rows by class, cut in two for each partition (McMahan and others 2017).
    """
    if split == DIRICHLET:
        return _filled(_dirichlet(labels, partitions, alpha, rng))
    rows = rng.permutation(len(labels))
    if split == IID:
        return [np.sort(part) for part in np.array_split(rows, partitions)]
    shards = np.array_split(rows[np.argsort(labels[rows], kind="stable")], SHARDS_EACH * partitions)
    order = rng.permutation(len(shards)).reshape(partitions, SHARDS_EACH)
    return _filled([np.sort(np.concatenate([shards[one] for one in mine])) for mine in order])


def _dirichlet(labels: Labels, partitions: int, alpha: float, rng: np.random.Generator) -> list[Rows]:
    parts: list[list[Rows]] = [[] for _ in range(partitions)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.cumsum(rng.dirichlet(np.full(partitions, alpha)))[:-1]
        for part, piece in zip(parts, np.split(rows, (cuts * len(rows)).astype(np.int64)), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def _filled(parts: list[Rows]) -> list[Rows]:
    """The same with a row for every partition that has none, from the one with most."""
    sizes = np.array([len(part) for part in parts])
    for empty in np.flatnonzero(sizes == 0):
        most = int(sizes.argmax())
        if sizes[most] < 2:
            break
        parts[empty], parts[most] = parts[most][-1:], parts[most][:-1]
        sizes[empty], sizes[most] = 1, sizes[most] - 1
    return parts
