"""What a participant does to its update before it leaves its machine: clip it, and add noise."""

import math

import numpy as np
from numpy.typing import NDArray

from backend.domain.federated.tasks import LocalPrivacy

Weights = list[NDArray[np.float32]]


def protect(update: Weights, base: Weights, privacy: LocalPrivacy, rng: np.random.Generator) -> Weights:
    """`update` with its difference from `base` at most `privacy.clip` long in L2 over all arrays, and Gaussian noise
    of deviation `privacy.noise_std` on every number of it (Abadi and others 2016, for a participant as a whole).
    """
    length = math.sqrt(sum(_squares(one, origin) for one, origin in zip(update, base, strict=True)))
    factor = min(1.0, privacy.clip / length) if length > 0 else 1.0
    return [_protected(one, origin, factor, privacy.noise_std, rng) for one, origin in zip(update, base, strict=True)]


def _squares(one: NDArray[np.float32], origin: NDArray[np.float32]) -> float:
    difference = one.ravel().astype(np.float64) - origin.ravel()
    return float(difference @ difference)


def _protected(
    one: NDArray[np.float32], origin: NDArray[np.float32], factor: float, noise_std: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    difference = (one.astype(np.float64) - origin) * factor
    if noise_std > 0:
        difference += rng.normal(0.0, noise_std, difference.shape)
    return np.asarray(origin + difference, dtype=np.float32)
