"""A node's own data: a folder, or a function of its operator's. It is read in the trainer's process and stays there."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.trainers.base import NoData, TrainerContext, TrainerFailed
from agents.trainers.catalogue import is_place, load_place

FEATURES, LABELS = "X.npy", "y.npy"
Examples = tuple[NDArray[Any], NDArray[Any]]


def own_examples(context: TrainerContext) -> Examples | None:
    """Features and labels of the participant's own, None where its machine names no data.

    `SWARMEX_TRAINING_DATA` is a folder with X.npy and y.npy, or with one of them for each node, named by its id; or
    `module:function`, which is called with the context and returns both. Raises NoData where there are none for it.
    """
    if context.data is None or context.node is None:
        return None
    if is_place(context.data):
        try:
            function = load_place(context.data)
        except (ImportError, AttributeError):
            raise TrainerFailed("this machine's source of data cannot be imported") from None
        found = function(context)
        if found is None:
            raise NoData("this machine's source has no data for the node")
        features, labels = found
    else:
        features, labels = _read(Path(context.data), str(context.node))
    if len(features) != len(labels):
        raise TrainerFailed("this machine's data has not as many labels as examples")
    if len(features) == 0:
        raise NoData("this machine's data is empty")
    return np.asarray(features), np.asarray(labels)


def _read(folder: Path, node: str) -> Examples:
    own = folder / node
    place = own if own.is_dir() else folder
    try:
        # Never what could run something when it is read.
        features, labels = (np.load(place / name, mmap_mode="r", allow_pickle=False) for name in (FEATURES, LABELS))
    except FileNotFoundError:
        raise NoData("this machine has no data for the node") from None
    except (OSError, ValueError):
        raise TrainerFailed("this machine's data cannot be read") from None
    return features, labels
