"""Handwritten digits by PyTorch, for machines that have it (`pip install "swarmex[torch]"`): a module as a trainer.

Not among those that every machine has: operators allow it by its place, `agents.trainers.torch_digits:MLP`.
Its config is that of digits-mlp.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from agents.trainers import digits
from agents.trainers.base import Arrays, Config, Metrics, Trainer, TrainerContext, TrainerFailed
from agents.trainers.network import to_onnx
from agents.trainers.options import number, whole


class TorchDigits:
    """A NumPyClient around a module; its arrays are the module's parameters in their order."""

    def __init__(self, context: TrainerContext) -> None:
        torch.manual_seed(context.seed)
        hidden = whole(context.config, "hidden", digits.HIDDEN_DEFAULT, 1, digits.HIDDEN_MAX)
        self.context = context
        self.module = nn.Sequential(nn.Linear(digits.FEATURES, hidden), nn.ReLU(), nn.Linear(hidden, digits.CLASSES))

    def get_parameters(self, _: Config) -> Arrays:
        """Weights to begin with, the same for a seed."""
        return [one.detach().numpy().copy() for one in self.module.parameters()]

    def fit(self, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
        """Mini-batch gradient descent with FedProx's pull to `parameters`; loss and accuracy, afterwards."""
        self._load(parameters)
        features, labels = (torch.from_numpy(one) for one in digits.examples_of(self.context))
        began = [one.detach().clone() for one in self.module.parameters()]
        rate = number(config, "learning_rate", digits.LEARNING_RATE_DEFAULT, 0.0, digits.LEARNING_RATE_MAX)
        optimiser = torch.optim.SGD(self.module.parameters(), lr=rate)
        pull = float(config.get("proximal_mu", 0.0)) / 2
        seeds = [self.context.seed, self.context.partition, whole(config, "round", 0, 0, digits.COUNT_MAX)]
        order = np.random.default_rng(seeds)
        batch_size = whole(config, "batch_size", digits.BATCH_DEFAULT, 1, digits.COUNT_MAX)
        for _ in range(whole(config, "local_epochs", digits.EPOCHS_DEFAULT, 1, digits.COUNT_MAX)):
            for rows in torch.from_numpy(order.permutation(len(labels))).split(batch_size):
                loss = cross_entropy(self.module(features[rows]), labels[rows])
                if pull:
                    far = zip(self.module.parameters(), began, strict=True)
                    loss = loss + pull * sum(((now - then) ** 2).sum() for now, then in far)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        worth, accuracy = self._worth(features, labels)
        return self.get_parameters({}), len(labels), {"loss": worth, "accuracy": accuracy}

    def evaluate(self, parameters: Arrays, _: Config) -> tuple[float, int, Metrics]:
        """Loss and accuracy: the coordinator's on the test set, a participant's on its own examples."""
        self._load(parameters)
        found = digits.test_examples() if self.context.node is None else digits.examples_of(self.context)
        features, labels = (torch.from_numpy(one) for one in found)
        loss, accuracy = self._worth(features, labels)
        return loss, len(labels), {"accuracy": accuracy}

    def _load(self, parameters: Arrays) -> None:
        own = list(self.module.parameters())
        if [one.shape for one in parameters] != [tuple(one.shape) for one in own]:
            raise TrainerFailed("its weights are not of this trainer, or of another `hidden`")
        with torch.no_grad():
            for mine, given in zip(own, parameters, strict=True):
                mine.copy_(torch.from_numpy(np.ascontiguousarray(given, np.float32)))

    def _worth(self, features: "torch.Tensor", labels: "torch.Tensor") -> tuple[float, float]:
        with torch.no_grad():
            found = self.module(features)
            return float(cross_entropy(found, labels)), float((found.argmax(1) == labels).float().mean())


def _export(parameters: Arrays, _: Config) -> bytes:
    transposed = [one.T if one.ndim == 2 else one for one in parameters]  # a Linear's rows are its outputs
    return to_onnx(transposed, digits.PIXEL_MEAN, digits.PIXEL_DEVIATION)


MLP = Trainer(
    "digits-torch",
    "Handwritten digits of 8 × 8 pixels by a PyTorch module with one hidden layer",
    ("loss", "accuracy"),
    TorchDigits,
    export=_export,
)
