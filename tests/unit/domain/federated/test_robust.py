"""Median and trimmed mean are what their definitions say, on any number of updates and whatever a few of them claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.federated.robust import median, trimmed_mean
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS, Floats
from tests.unit.domain.federated.files import file_of, updates_of

HONEST = 8
SIZE = 1_000


def rows(count: int, size: int = SIZE, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


@given(count=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 1_000))
def test_the_median_is_the_middle_one_of_each_weight(count: int, size: int, seed: int) -> None:
    drawn = rows(count, size, seed)
    np.testing.assert_allclose(median(updates_of(drawn)), np.median(drawn.astype(np.float64), axis=0), atol=1e-6)


@given(count=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 1_000), beta=st.floats(0, 0.49))
def test_the_trimmed_mean_leaves_out_so_many_at_either_end(count: int, size: int, seed: int, beta: float) -> None:
    drawn = rows(count, size, seed)
    cut = int(beta * count)
    exact = np.sort(drawn.astype(np.float64), axis=0)[cut : count - cut].mean(axis=0)
    np.testing.assert_allclose(trimmed_mean(updates_of(drawn), beta), exact, atol=1e-6)


def test_models_larger_than_a_block_are_the_same_at_the_seams() -> None:
    drawn = rows(64, 2 * COLUMNS + 3)
    updates = updates_of(drawn)
    assert median(updates).tolist() == np.median(drawn, axis=0).tolist()
    np.testing.assert_allclose(trimmed_mean(updates, 0.25), np.sort(drawn, axis=0)[16:48].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("lie", [1e9, -1e9, 3.0])
def test_two_liars_of_ten_move_no_weight_out_of_what_the_honest_say(lie: float) -> None:
    honest = rows(HONEST)
    updates = updates_of(np.vstack([honest, np.full((2, SIZE), lie, np.float32)]), [1] * HONEST + [1_000_000] * 2)
    for result in (median(updates), trimmed_mean(updates, 0.2)):
        assert (result >= honest.min(axis=0)).all()
        assert (result <= honest.max(axis=0)).all()


def test_half_precision_is_sorted_with_single_precision() -> None:
    updates = [Update(file_of({"w": np.array([value], kind)}), 1) for value, kind in [(1, "f2"), (3, "f4"), (2, "f2")]]
    assert median(updates).tolist() == [2.0]
