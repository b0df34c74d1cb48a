"""The trainer that docs/training.md shows is one: it learns, round by round, and declines where there is no data."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tests
from agents.trainers.base import NoData
from agents.trainers.host import TrainerHost
from backend.bootstrap import new_id
from backend.domain.federated.tasks import LocalTask, WeightsRef
from backend.domain.ids import NodeId, TrainingJobId

DOCUMENT = Path(tests.__file__).parents[1] / "docs/training.md"
FEATURES, ROUNDS, SECONDS_MAX = 12, 30, 60

Start = Callable[[str | None], TrainerHost]


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Start:
    """Starts a machine that has the trainer, with its data there."""
    [code] = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "wards.py").write_text(code)
    [allowed] = re.findall(r"SWARMEX_TRAINERS='(wards=.*?)'", DOCUMENT.read_text())

    def started(data: str | None) -> TrainerHost:
        host = TrainerHost(allowed, data, environment={**os.environ, "PYTHONPATH": str(tmp_path)})
        request.addfinalizer(host.close)
        return host

    return started


def task(weights: Path) -> LocalTask:
    """A round of the job, on these weights."""
    ref = WeightsRef("weights", "0" * 64, weights.stat().st_size)
    return LocalTask(TrainingJobId(new_id()), 1, "wards", ref, 2, 32, SECONDS_MAX, 0, 0, 1)


def test_the_documented_trainer_learns_from_the_tables_of_its_machine(start: Start, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(FEATURES, 1))
    for name, count in (("train", 200), ("test", 50)):
        x = rng.normal(size=(count, FEATURES))
        np.save(tmp_path / f"{name}-x.npy", x)
        np.save(tmp_path / f"{name}-y.npy", x @ truth + 0.5)
    host, weights, update = start(str(tmp_path)), tmp_path / "weights", tmp_path / "update"
    host.initial("wards", 0, {}, weights)
    before = host.evaluate("wards", {}, 0, weights, SECONDS_MAX)
    assert before.examples == 50
    for number in range(ROUNDS):
        fitted = host.fit(replace(task(weights), round=number), NodeId(new_id()), weights, update, lambda: True)
        assert fitted.result.examples == 200
        update.replace(weights)
    assert host.evaluate("wards", {}, 0, weights, SECONDS_MAX).metrics["loss"] < before.metrics["loss"] / 100


def test_the_documented_trainer_declines_where_there_is_no_data(start: Start, tmp_path: Path) -> None:
    host, weights = start(None), tmp_path / "weights"
    host.initial("wards", 0, {}, weights)
    with pytest.raises(NoData, match="no train table"):
        host.fit(task(weights), NodeId(new_id()), weights, tmp_path / "update", lambda: True)
