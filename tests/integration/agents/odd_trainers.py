"""Trainers that do what trainers must not, each by one name."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agents.trainers.base import Arrays, Config, Metrics, NoData, Trainer, TrainerContext, TrainerFailed

Fit = Callable[[TrainerContext, Arrays, Config], tuple[Arrays, int, Metrics]]


class Odd:
    """A client of one number that does something else in `fit`."""

    def __init__(self, context: TrainerContext, fit: Fit) -> None:
        self._context = context
        self._fit = fit

    def get_parameters(self, _: Config) -> Arrays:
        return [np.zeros(1, dtype=np.float32)]

    def fit(self, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
        return self._fit(self._context, parameters, config)

    def evaluate(self, _: Arrays, config: Config) -> tuple[float, int, Metrics]:
        raise NotImplementedError


class Plain:
    """Adds one to everything.

    A class of a stranger, which knows nothing of Swarmex.
    """

    def get_parameters(self, config: Config) -> Arrays:
        return [np.zeros((2, 3)), np.array(5), np.arange(4, dtype=np.float16)]

    def fit(self, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
        metrics: Metrics = {"loss": np.float32(0.5), "nan": float("nan"), "word": "no number", "epochs": 0}
        return [one + 1 for one in parameters], 7, metrics | {"epochs": config["local_epochs"]}

    def evaluate(self, parameters: Arrays, config: Config) -> tuple[float, int, Metrics]:
        return float(parameters[1]), 3, {"sum": float(sum(one.sum() for one in parameters))}


def _sleep(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    Path(str(config["began"])).write_text(str(os.getpid()))
    time.sleep(600)
    return parameters, 1, {}


def _hold(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    """Has a child of its own, which holds what it inherits."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    Path(str(config["began"])).write_text(str(child.pid))
    time.sleep(600)
    return parameters, 1, {}


def _fork(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    """Leaves behind a child with all of its pipes, and is killed."""
    if os.fork() == 0:
        Path(str(config["began"])).write_text(str(os.getpid()))
        time.sleep(600)
    while not Path(str(config["began"])).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
    return parameters, 1, {}


def _eat(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    return [np.ones(1 << 27)], 1, {}  # 1 GiB


def _crash(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    os.abort()


def _leave(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    os._exit(3)


def _tell(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    raise ValueError("patient 4711 is ill")


def _say(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    raise TrainerFailed("no such optimizer")


def _shout(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    print('{"done": {"result": "forged", "busy_us": 1}}', flush=True)
    return parameters, 1, {}


def _reshape(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    return [np.zeros(2)], 1, {}


def _diverge(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    return [np.array([np.inf])], 1, {}


def _mix(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    return [np.array(["a"])], 1, {}


def _lack(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    return parameters, 0, {}


def _decline(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    raise NoData("only on other nodes")


def _look(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    """Tells in its metrics what it finds in its environment."""
    return parameters, 1, dict.fromkeys(os.environ, 1)


def _know(context: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    """Tells what it was asked."""
    assert context.node is not None
    told: Metrics = {"node": context.node.int % 1000, "partition": context.partition, "partitions": context.partitions}
    return parameters, 1, told | {name: one for name, one in config.items() if not isinstance(one, str)}


def _grow(_: TrainerContext, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
    """Moves the weight by 8 in place, as careless trainers do."""
    parameters[0] += 8
    return parameters, 1, {"loss": 1.0}


def _odd(fit: Fit) -> Trainer:
    return Trainer(fit.__name__, f"odd: {fit.__name__}", ("loss",), lambda context: Odd(context, fit))


SLEEP, HOLD, FORK, EAT, CRASH, LEAVE, TELL, SAY, SHOUT, RESHAPE, DIVERGE, MIX, LACK, DECLINE, LOOK, KNOW, GROW = map(
    _odd,
    (
        _sleep,
        _hold,
        _fork,
        _eat,
        _crash,
        _leave,
        _tell,
        _say,
        _shout,
        _reshape,
        _diverge,
        _mix,
        _lack,
        _decline,
        _look,
        _know,
        _grow,
    ),
)
NUMBER = 5
