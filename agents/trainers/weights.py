"""Weights files as trainers see them: safetensors of float32, named by their place in the list."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agents.trainers.base import TrainerFailed

ARRAYS_MAX = 10_000
NAME_DIGITS = 4
BLOCK_BYTES = 1 << 20


def write_weights(path: Path, arrays: Sequence[NDArray[np.float32]]) -> None:
    """Write the file; raises TrainerFailed for none, for too many, and for a file that the process may not write."""
    if not 1 <= len(arrays) <= ARRAYS_MAX:
        raise TrainerFailed(f"{len(arrays)} arrays of weights; 1 to {ARRAYS_MAX} are possible")
    named = {f"{place:0{NAME_DIGITS}d}": np.require(one, np.float32, "C") for place, one in enumerate(arrays)}
    try:
        save_file(named, path)
    except (SafetensorError, OSError):
        raise TrainerFailed("its weights could not be written") from None


def read_weights(path: Path) -> list[NDArray[np.float32]]:
    """The arrays in order, float32 whatever they are stored as; raises TrainerFailed for what is no such file."""
    try:
        named = load_file(path)
    except (SafetensorError, OSError):
        raise TrainerFailed("the weights that it was given cannot be read") from None
    return [np.require(named[name], np.float32, "C") for name in sorted(named)]


def sha256_of(path: Path) -> str:
    """The sum of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
