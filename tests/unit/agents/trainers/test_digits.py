"""The built-in trainers, in one process and with plain averaging: they learn, however the examples are divided."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

import numpy as np
import pytest
from sklearn.datasets import load_digits

from agents.engines.row_proof import rows_keep_apart
from agents.trainers.base import Arrays, Config, NoData, Trainer, TrainerContext, TrainerFailed
from agents.trainers.digits import BUNDLED, LINEAR, MLP, examples_of, test_examples, train_examples
from backend.domain.federated.tasks import Scalar
from backend.domain.ids import NodeId

test_examples.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for a test


def context(
    config: Mapping[str, Scalar] = MappingProxyType({}), partition: int = 0, partitions: int = 10
) -> TrainerContext:
    """A participant's."""
    return TrainerContext(NodeId(UUID(int=partition)), partition, partitions, 7, None, config)


def coordinator(config: Mapping[str, Scalar] = MappingProxyType({}), seed: int = 7) -> TrainerContext:
    """The coordinator's."""
    return TrainerContext(None, 0, 1, seed, None, config)


def rounds(trainer: Trainer, count: int, participants: int, local_epochs: int = 1, **config: Scalar) -> float:
    """Accuracy on the test set after federated rounds."""
    clients = [trainer.make(context(config, one, participants)) for one in range(participants)]
    judge = trainer.make(coordinator(config))
    weights: Arrays = judge.get_parameters({})
    for number in range(count):
        said: Config = {"round": number, "local_epochs": local_epochs, "batch_size": 16, **config}
        updates = [client.fit(list(weights), said) for client in clients]
        whole = sum(examples for _, examples, _ in updates)
        weights = [
            np.asarray(sum(update[place] * (examples / whole) for update, examples, _ in updates), dtype=np.float32)
            for place in range(len(weights))
        ]
    return float(judge.evaluate(weights, {})[2]["accuracy"])


@pytest.mark.parametrize("trainer", [LINEAR, MLP], ids=lambda one: one.name)
def test_participants_learn_together_what_the_pooled_model_learns(trainer: Trainer) -> None:
    pooled = rounds(trainer, 10, 1, 5)
    uneven = rounds(trainer, 12, 10, 5, split="dirichlet", alpha=0.5)
    assert pooled > 0.95
    assert uneven > pooled - 0.02


@pytest.mark.parametrize("split", ["iid", "shards"])
def test_they_learn_however_examples_are_divided(split: str) -> None:
    assert rounds(LINEAR, 12, 10, split=split) > 0.9


def test_one_participant_alone_learns_less_from_two_classes() -> None:
    client = LINEAR.make(context({"split": "shards"}))
    weights, *_ = client.fit(client.get_parameters({}), {"local_epochs": 20})
    assert LINEAR.make(coordinator()).evaluate(weights, {})[2]["accuracy"] < 0.5


@pytest.mark.parametrize("split", ["iid", "dirichlet", "shards"])
def test_participants_have_all_examples_once_and_none_of_the_test_set(split: str) -> None:
    seen = [examples_of(context({"split": split}, one, 30)) for one in range(30)]
    rows = [row.tobytes() for features, _ in seen for row in features]
    assert len(rows) == len(train_examples()[1]) == 1437
    assert sorted(rows) == sorted(row.tobytes() for row in train_examples()[0])
    assert len(test_examples()[1]) == 1797 - 1437


def test_the_bundled_digits_are_those_of_scikit_learn() -> None:
    pixels, labels = load_digits(return_X_y=True)
    with np.load(BUNDLED) as files:
        assert (files["pixels"] == pixels).all()
        assert (files["labels"] == labels).all()


def test_first_weights_follow_from_the_seed() -> None:
    one, same = (MLP.make(coordinator()).get_parameters({}) for _ in range(2))
    other = MLP.make(coordinator(seed=8)).get_parameters({})
    assert all((left == right).all() for left, right in zip(one, same, strict=True))
    assert (one[0] != other[0]).any()


def test_a_proximal_pull_keeps_an_update_near_where_it_began() -> None:
    client = LINEAR.make(context())
    first = client.get_parameters({})

    def moved(mu: float) -> float:
        weights, *_ = client.fit(first, {"local_epochs": 3, "proximal_mu": mu})
        return float(sum(np.square(now - began).sum() for now, began in zip(weights, first, strict=True)))

    assert moved(1.0) < moved(0.1) < moved(0.0)


@pytest.mark.parametrize(
    "config",
    [{"learning_rate": 0.0}, {"learning_rate": "fast"}, {"split": "odd"}, {"alpha": -1}, {"split_seed": 0.5}],
    ids=lambda one: next(iter(one)),
)
def test_a_config_that_is_not_possible_is_told_of(config: dict[str, Scalar]) -> None:
    client = LINEAR.make(context(config))
    with pytest.raises(TrainerFailed, match=next(iter(config))):
        client.fit(client.get_parameters({}), {**config})


def test_a_hidden_layer_has_a_limit() -> None:
    with pytest.raises(TrainerFailed, match="hidden 513 is not possible"):
        MLP.make(context({"hidden": 513}))


def test_more_partitions_than_examples_leave_some_without() -> None:
    client = LINEAR.make(context({}, 1_999, 2_000))
    with pytest.raises(NoData):
        client.fit(client.get_parameters({}), {})


@pytest.mark.parametrize("trainer", [LINEAR, MLP], ids=lambda one: one.name)
def test_requests_to_an_exported_model_may_be_served_together(
    trainer: Trainer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert trainer.export is not None
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(trainer.export(trainer.make(coordinator()).get_parameters({}), {}))
    assert rows_keep_apart(path)
