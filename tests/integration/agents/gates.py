"""A trainer that waits before each of its calls until the test lets it: for what dies in the middle of one."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.trainers.base import Trainer, TrainerContext
from tests.onnx_files import write_doubling

Arrays = list[NDArray[Any]]
ALLOWED = "gated=tests.integration.agents.gates:GATED"
POLL_S = 0.01


def pass_through(config: Any, what: str) -> None:
    """Say that the call has begun, and wait until it may go on."""
    gate = Path(str(config["gates"])) / what
    gate.with_suffix(".begun").touch()
    while not gate.exists():
        time.sleep(POLL_S)


class Gated:
    """Its update is the weights plus one."""

    def get_parameters(self, config: dict[str, Any]) -> Arrays:
        pass_through(config, "initial")
        return [np.zeros(4, np.float32)]

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
        pass_through(config, "fit")
        return [one + 1 for one in parameters], 10, {"loss": 0.5}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        pass_through(config, "evaluate")
        return float(parameters[0].sum()), 10, {}


def _make(_: TrainerContext) -> Gated:
    return Gated()


def _export(_: Arrays, config: Any) -> bytes:
    pass_through(config, "export")
    path = Path(str(config["gates"])) / "gated.onnx"
    write_doubling(path)
    return path.read_bytes()


GATED = Trainer("gated", "Waits before each of its calls.", ("loss",), _make, export=_export)
