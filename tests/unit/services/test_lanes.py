"""Lanes that threads sum are those that one sums, and BLAS has its threads back."""

import numpy as np
from threadpoolctl import threadpool_info

from backend.domain.federated.krum import squared_distances
from backend.domain.federated.weights import COLUMNS
from backend.services.lanes import in_threads
from tests.unit.domain.federated.files import updates_of

SIZE = 20 * COLUMNS


def test_distances_are_the_same_however_their_lanes_are_summed() -> None:
    dice = np.random.default_rng(5)
    updates = updates_of(dice.standard_normal((30, SIZE), np.float32))
    base = dice.standard_normal(SIZE, np.float32)
    first, again = (squared_distances(updates, base, in_threads) for _ in range(2))
    assert np.array_equal(first, again), "whichever thread was done first"
    assert np.array_equal(first, first.T)
    np.testing.assert_allclose(first, squared_distances(updates, base), rtol=1e-12)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_one_thread_meanwhile_and_those_that_it_had_afterwards() -> None:
    before = blas_threads()
    seen = list(in_threads(lambda _: np.array(blas_threads(), float), [[], []]))
    assert [list(threads) for threads in seen] == [[1.0] * len(before)] * 2
    assert blas_threads() == before
