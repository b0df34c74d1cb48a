"""What a trainer is, and what may become of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.domain.errors import SwarmexError
from backend.domain.federated.tasks import REASON_CHARS_MAX, Scalar
from backend.domain.ids import NodeId

Arrays = list[NDArray[Any]]
Config = dict[str, Scalar]
Metrics = dict[str, Any]  # what is no finite number of them is left out

DESCRIPTION_CHARS_MAX = 200


class NumPyClient(Protocol):
    """A model with a participant's data, as Flower knows it: an object with these methods is one, whatever it is of."""

    def get_parameters(self, config: Config, /) -> Arrays:
        """The model's weights, always as many and of the same shapes."""
        ...

    def fit(self, parameters: Arrays, config: Config, /) -> tuple[Arrays, int, Metrics]:
        """Weights after training from `parameters` on the client's data, how many examples it has, metrics of it.

        `config` is the job's, with `round`, `local_epochs`, `batch_size`, `seed` and FedProx's `proximal_mu`.
        """
        ...

    def evaluate(self, parameters: Arrays, config: Config, /) -> tuple[float, int, Metrics]:
        """Loss of `parameters`, on how many examples, other metrics; raises NoData where there are none to test on."""
        ...


@dataclass(frozen=True, slots=True)
class TrainerContext:
    """For whom a client is made.

    `node` is the participant, None the coordinator, which begins, evaluates and exports, and has no one's private data.
    `partition` of `partitions` is the share of a divisible data set; `data` says where this machine's own is.
    """

    node: NodeId | None
    partition: int
    partitions: int
    seed: int
    data: str | None
    config: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A model that can be trained, by its name; `metrics` are those of `evaluate`, with `loss`.

    `initial` gives the first weights where a client cannot be made without data; `export` an ONNX file of weights.
    """

    name: str
    description: str
    metrics: tuple[str, ...]
    make: Callable[[TrainerContext], NumPyClient]
    initial: Callable[[TrainerContext], Arrays] | None = None
    export: Callable[[Arrays, Config], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What is told of a trainer to those who may use it."""

    name: str
    description: str
    metrics: tuple[str, ...]


class UnknownTrainer(SwarmexError):
    """This machine has no trainer of that name, or cannot load it."""

    code = "unknown_trainer"

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(f"no trainer {name} here{': ' * bool(why)}{why}"[:REASON_CHARS_MAX], field="trainer")
        self.name = name
        self.why = why


class NoData(SwarmexError):
    """There is nothing here to train on, or to evaluate on."""

    code = "no_data"


class TrainerFailed(SwarmexError):
    """A trainer broke, ended, or gave what is no update; its message is for whoever pays, and holds no data."""

    code = "trainer_failed"


class TrainerTimedOut(TrainerFailed):
    """A trainer took longer than it was given, and was killed."""

    code = "trainer_timed_out"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the trainer took longer than {seconds:g} s")
        self.seconds = seconds


class NotWanted(SwarmexError):
    """Nobody waits any more for what a trainer was at; it was killed."""

    code = "not_wanted"


def as_float32(arrays: Arrays) -> list[NDArray[np.float32]]:
    """Weights as they travel; raises TrainerFailed for anything but numbers."""
    try:
        return [np.asarray(one, dtype=np.float32, order="C") for one in arrays]
    except (TypeError, ValueError):
        raise TrainerFailed("its weights are not all arrays of numbers") from None
