"""Each strategy gives, round after round, what Flower gives for the same updates (scripts/flower-vectors)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.domain.federated.aggregation import aggregate
from backend.domain.federated.strategies import STRATEGIES, strategy_named
from backend.domain.federated.updates import Update
from tests.unit.domain.federated.files import file_of

TOLERANCE = 1e-6
RECORDED: dict[str, Any] = dict(np.load(Path(__file__).parent / "vectors" / "flower.npz", allow_pickle=False))
ABOUT = json.loads(str(RECORDED["about"]))


def received(number: int) -> list[Update]:
    """A round's updates, each a file of the recorded tensors."""
    updates = []
    for row, examples in zip(RECORDED["updates"][number], RECORDED["examples"][number], strict=True):
        at, arrays = 0, {}
        for name, shape in ABOUT["shapes"].items():
            size = int(np.prod(shape))
            arrays[name] = row[at : at + size].reshape(shape)
            at += size
        updates.append(Update(file_of(arrays), int(examples)))
    return updates


@pytest.mark.parametrize("case", ABOUT["options"])
def test_a_strategy_gives_what_flower_gives_in_every_round(case: str) -> None:
    strategy = strategy_named(case.partition("-")[0], ABOUT["options"][case])
    weights, state = RECORDED["base"], None
    for number, expected in enumerate(RECORDED[f"result {case}"]):
        result = aggregate(strategy, weights, received(number), state)
        np.testing.assert_allclose(result.weights, expected, rtol=0, atol=TOLERANCE)
        weights, state = result.weights, result.state


def test_krum_chooses_the_very_update_that_flower_chooses() -> None:
    for case in ("krum", "krum-none"):
        for number, expected in enumerate(RECORDED[f"result {case}"]):
            rows = RECORDED["updates"][number]
            [theirs] = [place for place, row in enumerate(rows) if (row == expected).all()]
            chosen = aggregate(strategy_named("krum", ABOUT["options"][case]), RECORDED["base"], received(number))
            assert chosen.used == (theirs,)


def test_every_strategy_was_recorded() -> None:
    assert {case.partition("-")[0] for case in ABOUT["options"]} == set(STRATEGIES)
