"""What leaves a participant's machine: clipped, and with noise."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.trainers.privacy import protect
from backend.domain.federated.tasks import LocalPrivacy

SHAPES = ((30, 4), (4,), ())


def arrays(scale: float, seed: int = 0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape) * scale, dtype=np.float32) for shape in SHAPES]


def length(update: list[NDArray[np.float32]], base: list[NDArray[np.float32]]) -> float:
    return math.sqrt(sum(float(np.square(one - origin).sum()) for one, origin in zip(update, base, strict=True)))


def test_a_long_update_becomes_as_long_as_the_clip_in_its_own_direction() -> None:
    base, update = arrays(1), arrays(5, seed=1)
    clipped = protect(update, base, LocalPrivacy(clip=2.0), np.random.default_rng(0))
    assert length(clipped, base) == pytest.approx(2.0, rel=1e-5)
    factor = 2.0 / length(update, base)
    for one, whole, origin in zip(clipped, update, base, strict=True):
        assert one == pytest.approx(origin + factor * (whole - origin), abs=1e-5)
        assert one.shape == origin.shape


def test_a_short_update_stays_as_it_is() -> None:
    base = arrays(1)
    update = [one + np.float32(0.25) for one in base]
    found = protect(update, base, LocalPrivacy(clip=100.0), np.random.default_rng(0))
    assert all((one == same).all() for one, same in zip(found, update, strict=True))


def test_no_update_at_all_is_none_still() -> None:
    base = arrays(1)
    found = protect(base, base, LocalPrivacy(clip=1.0), np.random.default_rng(0))
    assert all((one == same).all() for one, same in zip(found, base, strict=True))


def test_noise_has_its_deviation_on_every_number() -> None:
    base = [np.zeros(40_000, dtype=np.float32)]
    [noisy] = protect(base, base, LocalPrivacy(clip=1.0, noise_std=3.0), np.random.default_rng(0))
    assert noisy.std() == pytest.approx(3.0, rel=0.02)
    assert abs(noisy.mean()) < 0.1
    assert np.corrcoef(noisy[:-1], noisy[1:])[0, 1] == pytest.approx(0, abs=0.02)


def test_the_base_is_not_written_to() -> None:
    base, update = arrays(1), arrays(5, seed=1)
    before = [one.copy() for one in base]
    protect(update, base, LocalPrivacy(clip=1.0, noise_std=1.0), np.random.default_rng(0))
    assert all((one == same).all() for one, same in zip(base, before, strict=True))
