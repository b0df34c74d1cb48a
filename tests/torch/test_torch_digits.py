"""The PyTorch trainer, with PyTorch: in this process, and in its child process as agents run it."""

import os
from pathlib import Path
from uuid import UUID

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file

from agents.trainers.base import Arrays, Config, TrainerContext, TrainerFailed
from agents.trainers.digits import test_examples
from agents.trainers.host import TrainerHost
from agents.trainers.torch_digits import MLP
from backend.domain.federated.tasks import LocalTask, WeightsRef
from backend.domain.ids import NodeId, TrainingJobId

test_examples.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for a test
ROOT = Path(__file__).parents[2]
PARTICIPANTS = 4


def context(partition: int | None = None, seed: int = 7) -> TrainerContext:
    """A participant's, or the coordinator's."""
    node = None if partition is None else NodeId(UUID(int=partition))
    return TrainerContext(node, partition or 0, PARTICIPANTS, seed, None, {})


def test_participants_learn_together() -> None:
    judge = MLP.make(context())
    clients = [MLP.make(context(one)) for one in range(PARTICIPANTS)]
    weights: Arrays = judge.get_parameters({})
    for number in range(6):
        said: Config = {"round": number, "local_epochs": 2, "batch_size": 16}
        updates = [client.fit(weights, said) for client in clients]
        weights = [np.mean([update[place] for update, *_ in updates], axis=0) for place in range(len(weights))]
    assert judge.evaluate(weights, {})[2]["accuracy"] > 0.9


def test_first_weights_follow_from_the_seed_and_so_does_a_fit() -> None:
    client = MLP.make(context(1))
    first = client.get_parameters({})
    same = MLP.make(context(1)).get_parameters({})
    assert all((one == other).all() for one, other in zip(first, same, strict=True))
    assert (first[0] != MLP.make(context(1, seed=8)).get_parameters({})[0]).any()
    once, again = (client.fit(first, {"round": 3})[0] for _ in range(2))
    assert all((one == other).all() for one, other in zip(once, again, strict=True))


def test_a_proximal_pull_keeps_an_update_near_where_it_began() -> None:
    client = MLP.make(context(0))
    first = client.get_parameters({})

    def moved(mu: float) -> float:
        weights, *_ = client.fit(first, {"local_epochs": 3, "proximal_mu": mu})
        return float(sum(np.square(now - began).sum() for now, began in zip(weights, first, strict=True)))

    assert moved(1.0) < moved(0.1) < moved(0.0)


def test_weights_of_another_shape_are_refused() -> None:
    client = MLP.make(context(0))
    with pytest.raises(TrainerFailed, match="not of this trainer"):
        client.fit([one[:1] for one in client.get_parameters({})], {})


def test_agents_run_it_in_its_own_process_and_its_onnx_says_what_the_module_says(tmp_path: Path) -> None:
    allowed = "digits-torch=agents.trainers.torch_digits:MLP"
    host = TrainerHost(allowed, environment={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"})
    first, update, onnx = tmp_path / "first", tmp_path / "update", tmp_path / "model.onnx"
    task = LocalTask(
        job_id=TrainingJobId(UUID(int=1)),
        round=1,
        trainer="digits-torch",
        weights=WeightsRef("key", "0" * 64, 1),
        local_epochs=20,
        batch_size=16,
        seconds_max=120,
        seed=9,
        partition=0,
        partitions=1,
        proximal_mu=0.0,
        privacy=None,
        config={},
    )
    try:
        assert "digits-torch" in {one.name for one in host.describe()}
        host.initial("digits-torch", 9, {}, first)
        assert host.fit(task, NodeId(UUID(int=1)), first, update).result.examples > 1_000
        said = host.evaluate("digits-torch", {}, 9, update, 60.0)
        assert said.metrics["accuracy"] > 0.9
        assert host.export("digits-torch", {}, update, onnx)
    finally:
        host.close()
    features, labels = test_examples()
    pixels = features * 6.0 + 5.0
    [found] = onnxruntime.InferenceSession(onnx).run(["label"], {"x": pixels.astype(np.float32)})
    assert float((found == labels).mean()) == pytest.approx(said.metrics["accuracy"])
    assert len(load_file(update)) == 4
