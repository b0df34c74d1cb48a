"""How examples are divided among participants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.trainers.splits import DIRICHLET, IID, SHARDS, SPLITS, split_rows

LABELS = np.repeat(np.arange(10), 60)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@given(
    split=st.sampled_from(SPLITS),
    partitions=st.integers(1, 80),
    count=st.integers(1, 60),
    alpha=st.sampled_from([1e-3, 0.1, 1.0, 100.0]),
)
def test_every_row_is_in_one_partition(split: str, partitions: int, count: int, alpha: float) -> None:
    parts = split_rows(LABELS[:: len(LABELS) // count][:count], partitions, split, alpha, rng())
    assert len(parts) == partitions
    assert sorted(np.concatenate(parts)) == list(range(count))
    assert min(map(len, parts)) >= (1 if partitions <= count else 0)


def test_even_parts_are_even() -> None:
    sizes = [len(part) for part in split_rows(LABELS, 7, IID, 1.0, rng())]
    assert max(sizes) - min(sizes) <= 1


def test_a_small_alpha_gives_each_class_to_few() -> None:
    def classes(alpha: float) -> float:
        parts = split_rows(LABELS, 10, DIRICHLET, alpha, rng())
        return float(np.mean([len(np.unique(LABELS[part])) for part in parts]))

    assert classes(0.05) < 4 < 9 < classes(100.0)


def test_shards_hold_few_classes() -> None:
    parts = split_rows(LABELS, 10, SHARDS, 1.0, rng())
    assert max(len(np.unique(LABELS[part])) for part in parts) <= 4


@pytest.mark.parametrize("split", SPLITS)
def test_a_division_follows_from_its_generator(split: str) -> None:
    one, same = (split_rows(LABELS, 10, split, 0.5, rng()) for _ in range(2))
    assert all((left == right).all() for left, right in zip(one, same, strict=True))
