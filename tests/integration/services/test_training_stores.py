"""Training where the object store is no folder of the coordinator's machine: files are fetched and checked."""

from pathlib import Path

import numpy as np
import pytest

from backend.domain.errors import ChecksumMismatch
from backend.domain.federated.faults import UpdateRejected
from backend.domain.federated.states import JobState, ParticipantState
from backend.domain.federated.tasks import WeightsRef
from backend.services import training_files
from backend.services.weights_files import open_weights, write_arrays
from backend.storage.objects import ObjectStore
from tests.integration.services.training import AIM, Training, sending
from tests.market import Market


@pytest.fixture
def elsewhere(namespace: str) -> ObjectStore:
    """A store that no path leads to."""
    return ObjectStore(f"memory://{namespace}")


def test_a_job_runs_on_a_store_that_is_elsewhere(market: Market, elsewhere: ObjectStore) -> None:
    market.app.__dict__["objects"] = elsewhere
    training = Training.of(market, 4)
    training.acts[training.nodes[0].id] = sending(change=lambda content: content[:-4])
    name = training.submit(rounds=2, participants=4, strategy="fedavgm", strategy_options={"server_momentum": 0.5})
    ended = training.run(name)
    assert (ended.job.state, ended.job.round) == (JobState.DONE, 2)
    assert training.states(name)["n0"] is ParticipantState.REJECTED
    assert training.weights(name) == pytest.approx(
        list(AIM)
    )  # half the way; then a quarter, and half of the half again


@pytest.mark.parametrize("local", [True, False], ids=["a folder", "elsewhere"])
@pytest.mark.parametrize("size", [0, 1, -1], ids=["as it is", "fewer", "more"])
def test_a_file_of_another_size_than_was_said_is_another_file(
    elsewhere: ObjectStore, tmp_path: Path, local: bool, size: int
) -> None:
    objects = ObjectStore(str(tmp_path / "store")) if local else elsewhere
    path = tmp_path / "weights"
    sha256 = write_arrays(path, {"a": np.ones(3, np.float32)})
    objects.put_file(path, "w")
    ref = WeightsRef("w", sha256, path.stat().st_size + size)
    if size == 0:
        assert open_weights(training_files.fetch(objects, ref, tmp_path / "copy")).flat().tolist() == [1.0] * 3
        return
    with pytest.raises(ChecksumMismatch):
        training_files.fetch(objects, ref, tmp_path / "copy")
    with pytest.raises(UpdateRejected):
        training_files.fetch_update(objects, ref, tmp_path / "copy")
