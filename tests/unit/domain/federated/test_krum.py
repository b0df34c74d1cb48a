"""Krum chooses among the honest, by distances that are right even where weights have nearly everything in common."""

import numpy as np
import pytest

from backend.domain.federated.krum import krum_order, squared_distances
from backend.domain.federated.weights import COLUMNS, Floats
from tests.unit.domain.federated.files import updates_of

SIZE = 500


def rows(count: int, size: int = SIZE, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


def exact_distances(drawn: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    wide = drawn.astype(np.float64)
    return np.array([[((one - other) ** 2).sum() for other in wide] for one in wide])


def test_distances_are_those_of_each_two_also_over_several_blocks() -> None:
    drawn = rows(64, COLUMNS + 7)
    found = squared_distances(updates_of(drawn), rows(1, drawn.shape[1], 9)[0])
    np.testing.assert_allclose(found, exact_distances(drawn), rtol=1e-7)
    assert not np.diagonal(found).any()


def test_updates_that_differ_in_their_last_digits_only_are_told_apart() -> None:
    base = 1_000 * rows(1)[0]
    drawn = base + np.float32(1e-3) * rows(7, seed=6)
    exact = exact_distances(drawn)
    found = squared_distances(updates_of(drawn), base)
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    assert krum_order(updates_of(drawn), base, 1) == order_by_hand(exact, 1)


def order_by_hand(distances: np.ndarray[tuple[int, ...], np.dtype[np.float64]], malicious: int) -> list[int]:
    nearest = len(distances) - malicious - 2
    scores = [sum(sorted(np.delete(row, number))[:nearest]) for number, row in enumerate(distances)]
    return sorted(range(len(scores)), key=scores.__getitem__)


@pytest.mark.parametrize(("count", "malicious"), [(3, 0), (5, 1), (9, 2), (9, 0), (30, 13)])
def test_the_order_is_that_of_the_sums_of_distances_to_the_nearest(count: int, malicious: int) -> None:
    drawn = rows(count, seed=count)
    assert krum_order(updates_of(drawn), rows(1)[0], malicious) == order_by_hand(exact_distances(drawn), malicious)


def test_liars_are_last_even_if_they_agree_with_one_another() -> None:
    honest = rows(8) * np.float32(0.1)
    order = krum_order(updates_of(np.vstack([honest, np.full((3, SIZE), 5.0, np.float32)])), honest[0], 3)
    assert set(order[-3:]) == {8, 9, 10}


def test_of_equals_the_first_is_chosen() -> None:
    assert krum_order(updates_of(np.ones((5, 4), np.float32)), np.zeros(4, np.float32), 1) == [0, 1, 2, 3, 4]
