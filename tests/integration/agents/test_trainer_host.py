"""Trainers in their child process: what they give, how they are bounded, and that nothing of them stays behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Thread
from uuid import UUID

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from agents.trainers.base import NoData, NotWanted, TrainerFailed, TrainerTimedOut, UnknownTrainer
from agents.trainers.host import CALLS_MAX, TrainerHost
from agents.trainers.process import child_environment
from backend.domain.errors import Invalid
from backend.domain.federated.tasks import LocalPrivacy, LocalTask, Scalar, WeightsRef
from backend.domain.ids import NodeId, TrainingJobId
from tests.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).parents[3]
NODE = NodeId(UUID(int=123))
NAMES = (
    "sleep hold fork eat crash leave tell say shout reshape diverge mix lack decline look know grow".split()  # noqa: SIM905
)
ODD = ",".join(f"odd-{name}=tests.integration.agents.odd_trainers:{name.upper()}" for name in NAMES)
ALLOWED = f"{ODD},plain=tests.integration.agents.odd_trainers:Plain"


@pytest.fixture(scope="module")
def shared() -> Iterator[TrainerHost]:
    """A host for tests that leave its child well."""
    yield from _host()


@pytest.fixture
def host() -> Iterator[TrainerHost]:
    """One of the test's own."""
    yield from _host()


def _host() -> Iterator[TrainerHost]:
    host = TrainerHost(ALLOWED, environment=environment())
    yield host
    host.close()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def task(trainer: str, privacy: LocalPrivacy | None = None, seconds: int = 60, **config: Scalar) -> LocalTask:
    return LocalTask(
        job_id=TrainingJobId(UUID(int=1)),
        round=4,
        trainer=trainer,
        weights=WeightsRef("key", "0" * 64, 1),
        local_epochs=2,
        batch_size=16,
        seconds_max=seconds,
        seed=9,
        partition=3,
        partitions=10,
        proximal_mu=0.25,
        privacy=privacy,
        config=config,
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of one number, 1."""
    path = tmp_path / "weights"
    save_file({"0000": np.ones(1, dtype=np.float32)}, path)
    return path


def test_an_update_is_written_and_summed(shared: TrainerHost, tmp_path: Path) -> None:
    shared.initial("digits-linear", 0, {}, tmp_path / "weights")
    fitted = shared.fit(task("digits-linear"), NODE, tmp_path / "weights", tmp_path / "update")
    written = (tmp_path / "update").read_bytes()
    assert fitted.result.sha256 == sha256(written).hexdigest()
    assert fitted.result.size_bytes == len(written)
    assert fitted.result.examples == pytest.approx(1437 / 10, abs=1)
    assert fitted.result.metrics["accuracy"] > 0.5
    assert fitted.busy_us > 0
    update = load_file(tmp_path / "update")
    assert {name: (one.shape, one.dtype.name) for name, one in update.items()} == {
        "0000": ((64, 10), "float32"),
        "0001": ((10,), "float32"),
    }


def test_the_same_task_gives_the_same_update(shared: TrainerHost, tmp_path: Path) -> None:
    shared.initial("digits-mlp", 5, {"hidden": 4}, tmp_path / "weights")
    sums = [
        shared.fit(task("digits-mlp", hidden=4), NODE, tmp_path / "weights", tmp_path / name).result.sha256
        for name in ("one", "two")
    ]
    assert sums[0] == sums[1] != sha256((tmp_path / "weights").read_bytes()).hexdigest()


def test_one_child_serves_call_after_call(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    shared.fit(task("odd-know"), NODE, weights, tmp_path / "update")
    first = shared.pid
    shared.fit(task("odd-know"), NODE, weights, tmp_path / "update")
    assert shared.pid == first


def test_threads_take_turns_and_each_gets_its_own_answer(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    def partition(number: int) -> float:
        mine = replace(task("odd-know"), partition=number)
        return shared.fit(mine, NODE, weights, tmp_path / f"update{number}").result.metrics["partition"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(partition, range(40))) == list(range(40))


def test_a_trainer_is_told_what_its_task_says(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    told = shared.fit(task("odd-know", depth=3, word="x"), NODE, weights, tmp_path / "update").result.metrics
    assert told == {
        "node": 123,
        "partition": 3,
        "partitions": 10,
        "depth": 3,
        "round": 4,
        "local_epochs": 2,
        "batch_size": 16,
        "seed": 9,
        "proximal_mu": 0.25,
    }


def test_a_class_of_a_stranger_is_a_trainer(shared: TrainerHost, tmp_path: Path) -> None:
    shared.initial("plain", 0, {}, tmp_path / "weights")
    first = load_file(tmp_path / "weights")
    assert [one.shape for one in first.values()] == [(2, 3), (), (4,)]
    assert {one.dtype.name for one in first.values()} == {"float32"}
    fitted = shared.fit(task("plain"), NODE, tmp_path / "weights", tmp_path / "update")
    assert (fitted.result.examples, fitted.result.metrics) == (7, {"loss": 0.5, "epochs": 2})
    update = load_file(tmp_path / "update")
    assert all((update[name] == first[name] + 1).all() for name in first)
    told = shared.evaluate("plain", {}, 0, tmp_path / "update", 60)
    assert (told.examples, dict(told.metrics)) == (3, {"loss": 6.0, "sum": 6 + 6 + 10})


def test_trainers_are_described(shared: TrainerHost) -> None:
    described = {one.name: one for one in shared.describe()}
    assert described["digits-mlp"].metrics == ("loss", "accuracy")
    assert described["plain"].description == "Adds one to everything."
    assert len(described) == len(NAMES) + 3


def test_a_trainer_that_cannot_be_loaded_is_left_out_of_the_description() -> None:
    host = TrainerHost("lost=no.such.module:make,five=tests.integration.agents.odd_trainers:NUMBER", None, 1 << 30)
    try:
        assert [one.name for one in host.describe()] == ["digits-linear", "digits-mlp"]
    finally:
        host.close()


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("odd-leave", "ended with status 3"),
        ("odd-crash", "killed by SIGABRT"),
        ("odd-tell", r"raised ValueError at odd_trainers.py:\d+$"),
        ("odd-say", "^no such optimizer$"),
        ("odd-reshape", "other shapes"),
        ("odd-diverge", "not finite"),
        ("odd-mix", "not all arrays of numbers"),
    ],
)
def test_a_trainer_that_breaks_is_told_of_and_the_next_one_runs(
    shared: TrainerHost, weights: Path, tmp_path: Path, trainer: str, said: str
) -> None:
    with pytest.raises(TrainerFailed, match=said):
        shared.fit(task(trainer), NODE, weights, tmp_path / "update")
    assert not (tmp_path / "update").exists()
    assert shared.fit(task("odd-know"), NODE, weights, tmp_path / "update").result.examples == 1


def test_memory_is_bounded(weights: Path, tmp_path: Path) -> None:
    host = TrainerHost(ALLOWED, memory_bytes=1 << 29, environment=environment())
    try:
        with pytest.raises(TrainerFailed, match="more memory than it has"):
            host.fit(task("odd-eat"), NODE, weights, tmp_path / "update")
        assert host.pid is None  # who knows how well it is
        assert host.fit(task("odd-know"), NODE, weights, tmp_path / "update").result.examples == 1
    finally:
        host.close()


def test_a_trainer_that_is_too_slow_is_killed(host: TrainerHost, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerTimedOut) as refused:
        host.fit(task("odd-sleep", seconds=1, began=str(tmp_path / "pid")), NODE, weights, tmp_path / "update")
    assert refused.value.code == "trainer_timed_out"
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert host.fit(task("odd-know"), NODE, weights, tmp_path / "update").result.examples == 1


@pytest.mark.parametrize("trainer", ["odd-sleep", "odd-hold"])
def test_what_nobody_wants_any_more_is_killed_with_its_own_children(
    host: TrainerHost, weights: Path, tmp_path: Path, trainer: str
) -> None:
    began = tmp_path / "pid"
    with pytest.raises(NotWanted):
        host.fit(
            task(trainer, seconds=600, began=str(began)),
            NODE,
            weights,
            tmp_path / "update",
            lambda: not (began.exists() and began.read_text()),
        )
    assert host.pid is None
    assert eventually(lambda: not _lives(int(began.read_text())))
    assert not (tmp_path / "update").exists()


def test_what_a_dead_trainer_leaves_behind_keeps_nobody_waiting(
    host: TrainerHost, weights: Path, tmp_path: Path
) -> None:
    began = tmp_path / "pid"
    with pytest.raises(TrainerFailed, match="killed by SIGKILL"):
        host.fit(task("odd-fork", seconds=600, began=str(began)), NODE, weights, tmp_path / "update")
    assert eventually(lambda: not _lives(int(began.read_text())))


def test_closing_ends_what_is_running_and_refuses_what_comes_later(
    host: TrainerHost, weights: Path, tmp_path: Path
) -> None:
    began, refused = tmp_path / "pid", []

    def fit() -> None:
        with pytest.raises(NotWanted) as caught:
            host.fit(task("odd-sleep", seconds=600, began=str(began)), NODE, weights, tmp_path / "update")
        refused.append(caught.value)

    runs = [Thread(target=fit) for _ in range(2)]  # one has the child, the other waits for it
    for run in runs:
        run.start()
    assert eventually(lambda: began.exists() and began.read_text())
    host.close()
    for run in runs:
        run.join(20)
    assert len(refused) == 2
    assert not _lives(int(began.read_text()))
    with pytest.raises(NotWanted):
        host.describe()


def test_a_killed_child_is_replaced(host: TrainerHost, weights: Path, tmp_path: Path) -> None:
    host.fit(task("odd-know"), NODE, weights, tmp_path / "update")
    first = host.pid
    assert first is not None
    psutil.Process(first).kill()
    assert eventually(lambda: not _lives(first))
    host.fit(task("odd-know"), NODE, weights, tmp_path / "update")
    assert host.pid not in (None, first)


def test_a_child_that_dies_before_it_has_begun_is_replaced(host: TrainerHost, weights: Path, tmp_path: Path) -> None:
    host.fit(task("odd-know"), NODE, weights, tmp_path / "update")
    first = host.pid
    assert first is not None
    child = psutil.Process(first)
    child.suspend()  # it lives when it is asked
    with ThreadPoolExecutor() as pool:
        fitting = pool.submit(host.fit, task("odd-know"), NODE, weights, tmp_path / "update")
        assert eventually(lambda: host._calls == 2)
        child.kill()
        fitting.result(PATIENCE_S)
    assert host.pid not in (None, first)


def test_a_child_is_replaced_after_so_many_calls(
    host: TrainerHost, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CALLS_MAX >= 100
    monkeypatch.setattr("agents.trainers.host.CALLS_MAX", 2)
    pids = []
    for _ in range(4):
        host.fit(task("odd-know"), NODE, weights, tmp_path / "update")
        pids.append(host.pid)
    assert pids[0] == pids[1] != pids[2] == pids[3]


PARENT = """
import sys
from pathlib import Path
from tests.integration.agents.test_trainer_host import ALLOWED, NODE, environment, task
from agents.trainers.host import TrainerHost

folder = Path(sys.argv[1])
host = TrainerHost(ALLOWED, environment=environment())
host.fit(task(sys.argv[2], seconds=600, began=str(folder / "pid")), NODE, folder / "weights", folder / "update")
"""


@pytest.mark.parametrize("trainer", ["odd-sleep"])
def test_a_trainer_dies_with_a_parent_that_is_killed(weights: Path, tmp_path: Path, trainer: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), trainer], env=environment(), cwd=ROOT)
    began = tmp_path / "pid"
    try:
        assert eventually(lambda: began.exists() and began.read_text())
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: not _lives(int(began.read_text())))


def test_a_trainer_may_print(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    assert shared.fit(task("odd-shout"), NODE, weights, tmp_path / "update").result.sha256 != "forged"


@pytest.mark.parametrize(("trainer", "said"), [("odd-lack", "no examples"), ("odd-decline", "only on other nodes")])
def test_a_participant_without_data_says_so(
    shared: TrainerHost, weights: Path, tmp_path: Path, trainer: str, said: str
) -> None:
    with pytest.raises(NoData, match=said):
        shared.fit(task(trainer), NODE, weights, tmp_path / "update")


def test_unknown_and_unusable_trainers_are_told_apart_from_broken_ones(weights: Path, tmp_path: Path) -> None:
    host = TrainerHost("lost=no.such.module:make", environment=environment())
    try:
        with pytest.raises(UnknownTrainer, match=r"^no trainer plain here$"):
            host.fit(task("plain"), NODE, weights, tmp_path / "update")
        with pytest.raises(UnknownTrainer, match="ModuleNotFoundError"):
            host.fit(task("lost"), NODE, weights, tmp_path / "update")
    finally:
        host.close()


def test_a_trainer_learns_nothing_of_the_market(weights: Path, tmp_path: Path) -> None:
    secret = dict.fromkeys(("SWARMEX_DATABASE_URL", "SWARMEX_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "KEY"), "hidden")
    host = TrainerHost(ALLOWED, environment=environment() | secret)
    try:
        seen = host.fit(task("odd-look"), NODE, weights, tmp_path / "update").result.metrics
    finally:
        host.close()
    assert "PATH" in seen
    assert not [name for name in seen if name in secret or name.startswith("SWARMEX_")]


def test_a_trainer_computes_with_one_core_unless_its_operator_gives_it_more() -> None:
    assert child_environment({"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "8"
    assert child_environment({})["OMP_NUM_THREADS"] == "1"


def test_an_update_is_clipped_and_its_metrics_stay_where_they_are(
    shared: TrainerHost, weights: Path, tmp_path: Path
) -> None:
    plain = shared.fit(task("odd-grow"), NODE, weights, tmp_path / "plain")
    private = shared.fit(task("odd-grow", LocalPrivacy(clip=0.5)), NODE, weights, tmp_path / "private")
    assert load_file(tmp_path / "plain")["0000"] == [9.0]
    assert load_file(tmp_path / "private")["0000"] == [1.5]
    assert plain.result.metrics == {"loss": 1.0}
    assert private.result.metrics == {}


def test_noise_is_nobodys_to_foresee(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    noisy = LocalPrivacy(clip=0.5, noise_std=1.0)
    for name in ("one", "two"):
        shared.fit(task("odd-grow", noisy), NODE, weights, tmp_path / name)
    assert load_file(tmp_path / "one")["0000"] != load_file(tmp_path / "two")["0000"]


def test_weights_that_are_none_are_refused(shared: TrainerHost, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(TrainerFailed, match="cannot be read"):
        shared.fit(task("odd-know"), NODE, tmp_path / "weights", tmp_path / "update")


def test_weights_of_another_trainer_are_refused(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerFailed, match="not of this trainer"):
        shared.fit(task("digits-linear"), NODE, weights, tmp_path / "update")


def test_evaluation_needs_data_of_the_coordinator(shared: TrainerHost, weights: Path) -> None:
    with pytest.raises(NoData):
        shared.evaluate("odd-know", {}, 0, weights, 60)


def test_a_trained_model_becomes_one_that_can_be_served(shared: TrainerHost, tmp_path: Path) -> None:
    import onnxruntime
    from sklearn.datasets import load_digits

    shared.initial("digits-mlp", 1, {}, tmp_path / "weights")
    every = replace(task("digits-mlp"), partitions=1, local_epochs=10, proximal_mu=0.0)
    shared.fit(every, NODE, tmp_path / "weights", tmp_path / "update")
    assert shared.export("digits-mlp", {}, tmp_path / "update", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    features, labels = load_digits(return_X_y=True)
    found, shares = session.run(["label", "probabilities"], {"x": features[::5].astype(np.float32)})
    accuracy = float((found == labels[::5]).mean())
    assert accuracy == pytest.approx(shared.evaluate("digits-mlp", {}, 1, tmp_path / "update", 60).metrics["accuracy"])
    assert accuracy > 0.9
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_a_trainer_without_export_says_so(shared: TrainerHost, weights: Path, tmp_path: Path) -> None:
    assert shared.export("odd-know", {}, weights, tmp_path / "model.onnx") is False
    assert not (tmp_path / "model.onnx").exists()


def test_a_machine_trains_on_its_own_data(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / str(NODE)
    own.mkdir()
    np.save(own / "X.npy", np.full((5, 64), 3.0))
    np.save(own / "y.npy", np.arange(5))
    host = TrainerHost(data=str(tmp_path))
    try:
        host.initial("digits-linear", 0, {}, tmp_path / "first")
        assert host.fit(task("digits-linear"), NODE, tmp_path / "first", tmp_path / "update").result.examples == 5
        assert host.evaluate("digits-linear", {}, 0, tmp_path / "first", 60).examples == 360
        with pytest.raises(NoData):
            host.fit(task("digits-linear"), NodeId(UUID(int=5)), tmp_path / "first", tmp_path / "update")
    finally:
        host.close()


@pytest.mark.parametrize(
    ("trainers", "data", "code"),
    [
        ("mine=os.system", None, "invalid_trainers"),
        ("digits-linear=os:system", None, "invalid_trainers"),
        ("", "data/here", "invalid_training_data"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused_at_once(trainers: str, data: str | None, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        TrainerHost(trainers, data)
    assert refused.value.code == code


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
