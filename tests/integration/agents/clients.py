"""Trainers for tests, which the processes that train import by the operator's list."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.trainers.base import NoData

Arrays = list[NDArray[Any]]
ALLOWED = ",".join(
    f"{name}=tests.integration.agents.clients:{client}"
    for name, client in (("adding", "Adding"), ("breaking", "Breaking"), ("empty", "Empty"), ("wide", "Wide"))
)
EXAMPLES = 7
POLL_S = 0.01


class Adding:
    """Its update is the weights plus `step`; with a `gate` it says that it has begun, and waits until there is one."""

    sizes: tuple[int, ...] = (6, 3)

    def get_parameters(self, config: dict[str, Any]) -> Arrays:
        return [np.zeros(size, np.float32) for size in self.sizes]

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
        if gate := config.get("gate"):
            Path(f"{gate}.begun").write_text(str(os.getpid()))
            while not Path(gate).exists():
                time.sleep(POLL_S)
        return [one + config.get("step", 1.0) for one in parameters], EXAMPLES, {"loss": 0.5}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        raise NoData("nothing to test on")


class Breaking(Adding):
    """Breaks in the middle."""

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
        raise RuntimeError("a secret of the data")


class Empty(Adding):
    """Has no data."""

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
        raise NoData("no data for this on the node")


class Wide(Adding):
    """More than a request may bring: 12 MB of weights."""

    sizes = (3_000_000,)
