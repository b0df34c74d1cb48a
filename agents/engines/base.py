"""What an engine must offer, so that another one (a GPU server, a remote backend) can take its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from backend.domain.errors import SwarmexError, Unavailable
from backend.domain.tensors import Array


class ModelUnusable(SwarmexError):
    """A model file that the engine cannot load, or that is not there."""

    code = "model_unusable"


class InferenceFailed(SwarmexError):
    """The model refused its inputs or broke while it ran."""

    code = "inference_failed"


class NothingRun(Unavailable):
    """What a model needs was not to be had: its file, room in memory, its server. Whoever asked is not to blame."""

    code = "nothing_run"


class Loaded(Protocol):
    """A model in memory; may be run by several threads at once."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name in the signature's shapes and types; raises InferenceFailed."""
        ...


class Engine(Protocol):
    """Loads models of the formats that it knows."""

    def load(self, path: Path) -> Loaded:
        """The model of the file at `path`, which may be removed afterwards; raises ModelUnusable."""
        ...
