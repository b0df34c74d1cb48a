"""What training asks of the machine that coordinates it, beside storage: a trainer's own code, and chance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.domain.errors import SwarmexError
from backend.domain.federated.tasks import Scalar


class TrainerBroke(SwarmexError):
    """A trainer's own code failed here, or took too long."""

    code = "trainer_failed"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a trainer found of some weights on so many examples of its own."""

    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class Tools(Protocol):
    """The coordinator's own trainers; each call may take long, and runs outside of any transaction."""

    def initial(self, trainer: str, seed: int, config: Mapping[str, Scalar], path: Path) -> None:
        """Write the weights that a job begins with; raises TrainerBroke."""

    def evaluate(self, trainer: str, seed: int, config: Mapping[str, Scalar], weights: Path) -> Evaluation | None:
        """Evaluate weights, None where the trainer has no data here; raises TrainerBroke."""

    def export(self, trainer: str, config: Mapping[str, Scalar], weights: Path, onnx: Path) -> bool:
        """Write weights as a model that can be served; False where the trainer cannot. Raises TrainerBroke."""

    def epsilon(self, mode: str, rounds: int, noise_multiplier: float, delta: float) -> float:
        """ε at δ of a node that took part in so many rounds; `mode` is who adds the noise (PrivacyMode)."""

    def rng(self) -> np.random.Generator:
        """Chance that nobody can foresee, for noise."""
