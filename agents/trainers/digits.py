"""Built-in trainers of handwritten digits: 8 × 8 pixels of 0 to 16, ten classes.

A fixed fifth of the examples is the coordinator's test set; the others are divided among the participants, unless a
node has data of its own in the same form. A job's config may have: `learning_rate` (above 0, to 10), `split` (iid,
dirichlet, shards), `alpha` (of dirichlet; above 0, to 1,000), `split_seed`, and for digits-mlp `hidden` (1 to 512).
"""

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.trainers.base import Arrays, Config, Metrics, NoData, Trainer, TrainerContext, TrainerFailed
from agents.trainers.data import own_examples
from agents.trainers.network import first_weights, loss_of, probabilities, to_onnx, train
from agents.trainers.options import number, whole, word
from agents.trainers.splits import IID, SPLITS, split_rows

# The test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), the same as
# scikit-learn's, which takes seconds to import, and which not every node has.
BUNDLED = Path(__file__).with_name("digits.npz")
FEATURES, CLASSES = 64, 10
PIXEL_MEAN, PIXEL_DEVIATION = 5.0, 6.0  # about what they are; fixed, so that nobody has to tell their own
TEST_EVERY = 5
SEED_MAX = (1 << 31) - 1
LEARNING_RATE_DEFAULT = 0.3
LEARNING_RATE_MAX = 10.0
ALPHA_DEFAULT, ALPHA_MAX = 0.5, 1_000.0
HIDDEN_DEFAULT, HIDDEN_MAX = 32, 512
EPOCHS_DEFAULT, BATCH_DEFAULT = 1, 32
COUNT_MAX = 1 << 20

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DigitsClient:
    """A NumPyClient of a network with these hidden layers."""

    context: TrainerContext
    hidden: tuple[int, ...] = field(default=())

    def get_parameters(self, _: Config) -> Arrays:
        """Weights to begin with, the same for a seed."""
        rng = np.random.default_rng(self.context.seed)
        return [*first_weights((FEATURES, *self.hidden, CLASSES), rng)]

    def fit(self, parameters: Arrays, config: Config) -> tuple[Arrays, int, Metrics]:
        """Mini-batch gradient descent on the participant's examples; loss and accuracy on them, afterwards."""
        self._check(parameters)
        features, labels = examples_of(self.context)
        seeds = [self.context.seed, self.context.partition, whole(config, "round", 0, 0, COUNT_MAX)]
        weights = train(
            parameters,
            features,
            labels,
            epochs=whole(config, "local_epochs", EPOCHS_DEFAULT, 1, COUNT_MAX),
            batch_size=whole(config, "batch_size", BATCH_DEFAULT, 1, COUNT_MAX),
            learning_rate=number(config, "learning_rate", LEARNING_RATE_DEFAULT, 0.0, LEARNING_RATE_MAX),
            proximal_mu=float(config.get("proximal_mu", 0.0)),
            rng=np.random.default_rng(seeds),
        )
        loss, accuracy = _worth(weights, features, labels)
        return [*weights], len(labels), {"loss": loss, "accuracy": accuracy}

    def evaluate(self, parameters: Arrays, _: Config) -> tuple[float, int, Metrics]:
        """Loss and accuracy: the coordinator's on the test set, a participant's on its own examples."""
        self._check(parameters)
        features, labels = test_examples() if self.context.node is None else examples_of(self.context)
        loss, accuracy = _worth(parameters, features, labels)
        return loss, len(labels), {"accuracy": accuracy}

    def _check(self, parameters: Arrays) -> None:
        widths = (FEATURES, *self.hidden, CLASSES)
        shapes = [shape for inside, outside in pairwise(widths) for shape in ((inside, outside), (outside,))]
        if [one.shape for one in parameters] != shapes:
            raise TrainerFailed("its weights are not of this trainer, or of another `hidden`")


def examples_of(context: TrainerContext) -> tuple[Floats, Labels]:
    """A participant's features, scaled, and labels: this machine's own, or its share of the bundled ones.

    Raises NoData, and TrainerFailed where the machine's own are something else.
    """
    own = own_examples(context)
    if own is None:
        return _shared_examples(context)
    features, labels = own
    if features.ndim != 2 or features.shape[1] != FEATURES or features.dtype.kind not in "biuf":
        raise TrainerFailed(f"this machine's examples are not rows of {FEATURES} numbers")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= CLASSES:
        raise TrainerFailed(f"this machine's labels are not whole numbers of 0 to {CLASSES - 1}")
    return _scaled(features), labels.astype(np.int64)


def _shared_examples(context: TrainerContext) -> tuple[Floats, Labels]:
    split = word(context.config, "split", IID, SPLITS)
    alpha = number(context.config, "alpha", ALPHA_DEFAULT, 0.0, ALPHA_MAX)
    # Of the job rather than of a participant: all have to divide alike.
    seed = whole(context.config, "split_seed", 0, 0, SEED_MAX)
    parts = _parts(context.partitions, split, alpha, seed)
    mine = parts[context.partition % context.partitions]
    if len(mine) == 0:
        raise NoData("there are more partitions than examples")
    features, labels = train_examples()
    return features[mine], labels[mine]


@lru_cache(maxsize=16)
def _parts(partitions: int, split: str, alpha: float, seed: int) -> list[NDArray[np.int64]]:
    return split_rows(train_examples()[1], partitions, split, alpha, np.random.default_rng(seed))


@lru_cache(maxsize=1)
def _digits() -> tuple[Floats, Labels]:
    with np.load(BUNDLED, allow_pickle=False) as files:
        return _scaled(files["pixels"]), files["labels"].astype(np.int64)


def test_examples() -> tuple[Floats, Labels]:
    """What nobody trains on."""
    features, labels = _digits()
    return features[::TEST_EVERY], labels[::TEST_EVERY]


def train_examples() -> tuple[Floats, Labels]:
    """All the others."""
    features, labels = _digits()
    mine = np.arange(len(labels)) % TEST_EVERY != 0
    return features[mine], labels[mine]


def _scaled(pixels: NDArray[Any]) -> Floats:
    return ((pixels - PIXEL_MEAN) / PIXEL_DEVIATION).astype(np.float32)


def _worth(weights: Arrays, features: Floats, labels: Labels) -> tuple[float, float]:
    found = probabilities(weights, features)
    return loss_of(found, labels), float((found.argmax(axis=1) == labels).mean())


def _mlp(context: TrainerContext) -> DigitsClient:
    return DigitsClient(context, (whole(context.config, "hidden", HIDDEN_DEFAULT, 1, HIDDEN_MAX),))


def _export(parameters: Arrays, _: Config) -> bytes:
    return to_onnx(parameters, PIXEL_MEAN, PIXEL_DEVIATION)


LINEAR = Trainer(
    "digits-linear",
    "Handwritten digits of 8 × 8 pixels by multinomial logistic regression",
    ("loss", "accuracy"),
    DigitsClient,
    export=_export,
)
MLP = Trainer(
    "digits-mlp",
    "Handwritten digits of 8 × 8 pixels by a network with one hidden layer",
    ("loss", "accuracy"),
    _mlp,
    export=_export,
)
