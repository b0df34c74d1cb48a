"""Real learning: real trainers, real files of weights, the real aggregation; only the market is not there.

What a liar sends is its honest change turned round and made larger, which is what hurts an average most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from agents.trainers.base import Arrays, NumPyClient, TrainerContext
from agents.trainers.digits import LINEAR, MLP
from agents.trainers.weights import read_weights, write_weights
from backend.domain.federated.aggregation import aggregate
from backend.domain.federated.strategies import strategy_named
from backend.domain.federated.tasks import Scalar
from backend.domain.federated.updates import Update
from backend.domain.ids import NodeId
from backend.services import weights_files as files

PARTICIPANTS, ROUNDS, LOCAL_EPOCHS = 10, 12, 2
NON_IID: Mapping[str, Scalar] = {"split": "dirichlet", "alpha": 1.0, "split_seed": 1}
LIARS = 2  # of PARTICIPANTS: 20%
LIE = 10.0  # so much larger than what would be honest
FAILED_BELOW = 0.5
POINTS_LOST_MAX = 0.02


@dataclass(frozen=True, slots=True)
class Learned:
    """Accuracy on the test set, which nobody trained on; and how often a liar was among those that were used."""

    accuracy: float
    liars_used: int


def federated(
    folder: Path,
    strategy: str = "fedavg",
    options: Mapping[str, float] | None = None,
    liars: int = 0,
    participants: int = PARTICIPANTS,
    trainer: str = "digits-linear",
) -> Learned:
    """What rounds of all participants come to; a single one has all the examples."""
    kind = {one.name: one for one in (LINEAR, MLP)}[trainer]
    config: Mapping[str, Scalar] = NON_IID if participants > 1 else {}
    clients = [kind.make(_context(number, participants, config)) for number in range(participants)]
    judge = kind.make(TrainerContext(None, 0, 1, 0, None, config))
    rule, state, used = strategy_named(strategy, options or {}), None, 0
    base = folder / "base.safetensors"
    write_weights(base, judge.get_parameters({}))
    for round_ in range(1, ROUNDS + 1):
        updates = [
            _update(client, base, folder / f"{number}.safetensors", round_, lies=number < liars)
            for number, client in enumerate(clients)
        ]
        opened = files.open_weights(base)
        for update in updates:
            update.check(opened.layout)
        made = aggregate(rule, opened.flat(), updates, state)
        state, used = made.state, used + sum(number < liars for number in made.used)
        base = folder / f"after-{round_}.safetensors"
        files.write_weights(base, opened.layout, made.weights)
    return Learned(float(judge.evaluate(list(read_weights(base)), {})[2]["accuracy"]), used)


def _context(number: int, participants: int, config: Mapping[str, Scalar]) -> TrainerContext:
    return TrainerContext(NodeId(UUID(int=number)), number, participants, number, None, config)


def _update(client: NumPyClient, base: Path, path: Path, round_: int, *, lies: bool) -> Update:
    given = read_weights(base)
    fitted, examples, _ = client.fit(
        list(given), {"round": round_, "local_epochs": LOCAL_EPOCHS, "batch_size": 16, "proximal_mu": 0.0}
    )
    write_weights(path, _turned_round(list(given), fitted) if lies else fitted)
    return Update(path.read_bytes(), examples)


def _turned_round(given: Arrays, fitted: Arrays) -> Arrays:
    return [
        np.asarray(before - LIE * (after - before), np.float32) for before, after in zip(given, fitted, strict=True)
    ]


@pytest.mark.parametrize("trainer", ["digits-linear", "digits-mlp"])
def test_participants_whose_examples_differ_learn_within_two_points_of_one_that_has_them_all(
    trainer: str, tmp_path: Path
) -> None:
    pooled = federated(tmp_path, participants=1, trainer=trainer)
    apart = federated(tmp_path, trainer=trainer)
    assert pooled.accuracy > 0.95
    assert apart.accuracy > pooled.accuracy - POINTS_LOST_MAX


def test_two_liars_of_ten_ruin_an_average(tmp_path: Path) -> None:
    ruined = federated(tmp_path, "fedavg", liars=LIARS)
    assert ruined.accuracy < FAILED_BELOW
    assert ruined.liars_used == LIARS * ROUNDS


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("krum", {"malicious": LIARS}),
        ("multikrum", {"malicious": LIARS}),
        ("trimmed_mean", {"beta": LIARS / PARTICIPANTS}),
        ("median", {}),
    ],
    ids=["krum", "multikrum", "trimmed_mean", "median"],
)
def test_two_liars_of_ten_take_next_to_nothing_from_a_robust_strategy(
    strategy: str, options: Mapping[str, float], tmp_path: Path
) -> None:
    honest = federated(tmp_path, strategy, options)
    attacked = federated(tmp_path, strategy, options, liars=LIARS)
    assert honest.accuracy > 0.85
    assert attacked.accuracy > honest.accuracy - POINTS_LOST_MAX
    if "krum" in strategy:  # the others use a piece of everybody's
        assert attacked.liars_used == 0


def test_the_same_rounds_come_to_the_same(tmp_path: Path) -> None:
    one, other = (federated(tmp_path, "trimmed_mean", {"beta": 0.2}, liars=LIARS) for _ in range(2))
    assert one == other
