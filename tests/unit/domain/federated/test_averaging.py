"""The mean counts examples; the private one clips each change, adds the noise it was told to, and counts heads."""

import numpy as np
import pytest

from backend.domain.federated.averaging import CentralPrivacy, clip_factor, private_mean, weighted_mean
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import COLUMNS
from tests.unit.domain.federated.files import file_of, update_of, updates_of

SIZE = COLUMNS + 100
DICE = np.random.default_rng(7)
ROWS = DICE.standard_normal((9, SIZE), np.float32)
BASE = DICE.standard_normal(SIZE, np.float32)


def privacy(clip: float, noise_std: float = 0.0) -> CentralPrivacy:
    return CentralPrivacy(clip, noise_std, np.random.default_rng(3))


def test_an_update_of_twice_the_examples_counts_twice() -> None:
    assert weighted_mean(updates_of(np.array([[0, 3], [3, 0]], np.float32), [2, 1])).tolist() == [1, 2]


def test_the_mean_of_many_blocks_is_that_of_double_precision() -> None:
    examples = [1, 20, 300, 4, 5, 6, 7, 8, 900]
    exact = np.average(ROWS.astype(np.float64), axis=0, weights=examples)
    np.testing.assert_allclose(weighted_mean(updates_of(ROWS, examples)), exact, atol=1e-6)


def test_half_and_single_precision_and_odd_alignment_go_into_one_mean() -> None:
    values = np.array([1, 2, 3], np.float32)
    updates = [
        Update(file_of({"w": values}, padding), 1)
        for padding in range(4)  # three of them begin where no float32 may
    ] + [Update(file_of({"w": values.astype(np.float16)}), 4)]
    assert weighted_mean(updates).tolist() == values.tolist()


def test_what_was_received_is_not_changed() -> None:
    writable = memoryview(bytearray(file_of({"w": ROWS[0]})))
    updates = [Update(writable, 1), update_of(ROWS[1])]
    weighted_mean(updates)
    private_mean(BASE, updates, privacy(1.0, 1.0))
    assert updates[0].weights.flat().tolist() == ROWS[0].tolist()


@pytest.mark.parametrize(("clip", "factor"), [(10.0, 1.0), (5.0, 1.0), (2.5, 0.5)])
def test_a_change_longer_than_the_clip_is_made_as_long(clip: float, factor: float) -> None:
    assert clip_factor(update_of([4, 5]), np.array([1, 1], np.float32), clip) == factor


def test_without_noise_the_private_mean_is_that_of_the_clipped_changes_whatever_their_examples() -> None:
    changes = ROWS.astype(np.float64) - BASE
    norms = np.linalg.norm(changes, axis=1, keepdims=True)
    clip = float(np.median(norms))
    exact = BASE + (changes * np.minimum(1, clip / norms)).mean(axis=0)
    mean = private_mean(BASE, updates_of(ROWS, [1, 1000, 1, 1, 1, 1, 1, 1, 5]), privacy(clip))
    np.testing.assert_allclose(mean, exact, atol=1e-6)


def test_one_participant_moves_the_private_sum_by_the_clip_at_most() -> None:
    attack = update_of(np.full(SIZE, 1e6))
    quiet = update_of(BASE)
    moved = private_mean(BASE, [quiet, attack], privacy(0.5)) - private_mean(BASE, [quiet, quiet], privacy(0.5))
    assert np.linalg.norm(moved.astype(np.float64)) * 2 == pytest.approx(0.5, rel=1e-3)


def test_the_noise_is_of_the_deviation_that_was_asked_for_on_the_sum() -> None:
    updates = [update_of(BASE)] * 4
    noise = (private_mean(BASE, updates, privacy(1.0, 2.0)) - BASE).astype(np.float64) * len(updates)
    assert noise.std() == pytest.approx(2.0, rel=0.02)
    assert abs(noise.mean()) < 0.05
    halves = noise[: COLUMNS - 100], noise[100:COLUMNS]
    assert abs(np.corrcoef(*halves)[0, 1]) < 0.05


def test_the_noise_is_that_of_the_generator_given() -> None:
    updates = [update_of(BASE)]
    one, same = private_mean(BASE, updates, privacy(1.0, 1.0)), private_mean(BASE, updates, privacy(1.0, 1.0))
    assert one.tolist() == same.tolist()
    other = private_mean(BASE, updates, CentralPrivacy(1.0, 1.0, np.random.default_rng(4)))
    assert one.tolist() != other.tolist()
