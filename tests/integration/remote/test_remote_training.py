"""Training on machines of somebody else's: weights and updates over HTTP, each bound to the item that is in hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitReport, UnitRunner
from agents.inference.training_items import TrainingItems
from agents.inference.weight_files import WeightFiles
from agents.model_cache import ModelCache
from agents.remote_port import Refused
from backend.api.limits import BODY_BYTES_MAX
from backend.bootstrap import new_id
from backend.domain.federated.tasks import HEADER_BYTES, WIDTH_FACTOR, LocalDecline, LocalResult
from backend.domain.work import ClaimedItem, ItemResult
from backend.services import scratch
from tests.integration.agents import clients
from tests.integration.agents.training import ItemSeen, Training, host
from tests.integration.remote.nodes import OUTPUTS, Remote, RemoteNode
from tests.waiting import PATIENCE_S, until

ANSWER = LocalResult(7, "0" * 64, 10, {"loss": 0.5}).wire()
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def training(remote: Remote, tmp_path: Path) -> Training:
    return Training(remote.market, tmp_path)


@dataclass
class Trainee:
    """What the remote agent does with training items, in this process."""

    node: RemoteNode
    folder: Path

    def __post_init__(self) -> None:
        models = LoadedModels(ModelCache(self.folder / "cache", self.node.port), OnnxEngine())
        self.claims = ClaimKeeper(self.node.port, every_s=0.2)
        self.training = TrainingItems(self.node.port, host, self.claims, WeightFiles(self.folder / "weights"))
        self.runner = UnitRunner(self.node.port, models, self.claims, training=self.training)

    def run(self) -> list[UnitReport]:
        """Run what waits for it."""
        return [self.runner.run(unit) for unit in self.node.poll()]


@pytest.fixture
def trainee(remote: Remote, tmp_path: Path) -> Iterator[Trainee]:
    trainee = Trainee(remote.join(), tmp_path)
    trainee.claims.start()
    yield trainee
    trainee.training.close()
    trainee.claims.stop()


def held(training: Training, node: RemoteNode, **changes: Any) -> ClaimedItem:
    """A training item in the hand of a node."""
    training.place(training.task(**changes), node.id)
    training.market.clear()
    node.beat()
    [item] = node.claim()
    return item


def ask(node: RemoteNode, method: str, item: object, what: str, **changes: Any) -> tuple[int, str | None, str | None]:
    """Status, code and field of the answer about an item's file, asked for as stated or by this agent."""
    params = {"agent": str(node.agent_id), "fence": "1"} | changes.pop("params", {})
    path = f"/api/v1/node/work/items/{item}/{what}"
    answer = node.http.request(method, path, params=params, **changes)
    error = answer.json()["error"] if not answer.is_success else {"code": None, "field": None}
    return answer.status_code, error["code"], error["field"]


def put(node: RemoteNode, item: ClaimedItem, content: bytes = b"update", **params: str) -> tuple[int, Any, Any]:
    """Bring an update by hand."""
    told = {"fence": str(item.fence)} | params
    return ask(node, "PUT", item.item_id, "update", content=content, headers=BINARY, params=told)


def get(node: RemoteNode, item: ClaimedItem, **params: str) -> tuple[int, Any, Any]:
    """Ask for weights by hand."""
    return ask(node, "GET", item.item_id, "weights", params={"fence": str(item.fence)} | params)


def test_a_machine_trains_on_weights_that_it_fetches_and_brings_its_update(
    trainee: Trainee, training: Training
) -> None:
    training.place(training.task(config={"step": 0.5}))
    training.market.clear()
    assert trainee.run() == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert item.state == "reported"
    assert training.update(item) == [[0.5] * 6, [0.5] * 3]
    assert isinstance(item.answer, LocalResult)
    assert training.market.app.objects.checksum(training.update_key(item)) == item.answer.sha256
    assert item.billed_us is not None
    assert item.billed_us > 0


def test_updates_may_be_larger_than_any_other_message(trainee: Trainee, training: Training) -> None:
    training.place(training.task("wide"))
    training.market.clear()
    assert trainee.run() == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert isinstance(item.answer, LocalResult)
    assert item.answer.size_bytes > BODY_BYTES_MAX
    assert training.market.app.objects.checksum(training.update_key(item)) == item.answer.sha256


def test_a_machine_without_the_trainer_declines_and_is_believed(trainee: Trainee, training: Training) -> None:
    training.place(training.task("nobody-has-it"))
    training.market.clear()
    assert trainee.run() == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert isinstance(item.answer, LocalDecline)
    assert (item.state, item.billed_us) == ("reported", 0)


def test_a_machine_that_leaves_hands_its_fit_back_as_no_attempt(trainee: Trainee, training: Training) -> None:
    item = held(training, trainee.node)
    trainee.claims.hold([item])
    assert trainee.node.port.release(trainee.claims.held()) == {item.item_id}
    trainee.training.close()
    assert trainee.training.run(item) is None
    [again] = trainee.node.claim()
    assert (again.attempt, again.fence) == (1, item.fence + 1)
    assert training.stored() == []


def test_an_update_may_be_brought_again_until_its_item_is_committed_and_never_after(
    remote: Remote, training: Training
) -> None:
    node = remote.join()
    item = held(training, node)
    assert put(node, item, b"first") == (204, None, None)
    assert put(node, item, b"second") == (204, None, None)
    [seen] = training.items()
    kept = remote.market.app.objects.chunks(training.update_key(seen))
    assert b"".join(kept) == b"second"
    assert node.port.commit([ItemResult(item.item_id, item.fence, 5, ANSWER)]) == {item.item_id}
    assert put(node, item, b"third") == (409, "item_not_held", "fence")
    assert get(node, item) == (409, "item_not_held", "fence")
    assert b"".join(remote.market.app.objects.chunks(training.update_key(seen))) == b"second"


def test_where_an_update_goes_follows_from_its_item_and_its_fence_alone(remote: Remote, training: Training) -> None:
    node = remote.join()
    first = held(training, node)
    for name in ("key", "round", "job", "path"):
        assert put(node, first, b"first", **{name: "../x"}) == (422, "unknown_parameter", name)
    assert put(node, first, b"first") == (204, None, None)
    assert node.port.release([(first.item_id, first.fence)]) == {first.item_id}
    [second] = node.claim()
    assert second.fence > first.fence
    assert put(node, first, b"late") == (409, "item_not_held", "fence")
    assert put(node, second, b"second") == (204, None, None)
    folder = f"training/{training.job_id}/rounds/1/updates"
    names = [f"{folder}/{first.item_id}-{fence}.safetensors" for fence in (first.fence, second.fence)]
    assert training.stored() == names
    assert [b"".join(remote.market.app.objects.chunks(name)) for name in names] == [b"first", b"second"]


def test_what_is_in_another_nodes_hand_can_neither_be_read_nor_brought(remote: Remote, training: Training) -> None:
    honest, thief = remote.join("honest"), remote.join("thief")
    item = held(training, honest)
    for send in (put, get):
        assert send(thief, item) == (404, "unknown_item", "item")
        assert send(thief, item, agent=str(honest.agent_id)) == (404, "unknown_agent", "agent")
        assert send(honest, item, agent=str(new_id())) == (404, "unknown_agent", "agent")
        assert send(honest, item, fence=str(item.fence + 1)) == (409, "item_not_held", "fence")
        assert send(honest, item, fence="-1") == (422, "invalid_fence", "fence")
        assert send(honest, item, fence="x") == (422, "invalid_fence", "fence")
        assert send(honest, item, agent="x") == (422, "invalid_agent", "agent")
    assert training.stored() == []
    assert put(honest, item) == (204, None, None)


@pytest.mark.parametrize("item", [str(UUID(int=1)), "..%2F..%2Fmodels", "x"], ids=["unknown", "path", "word"])
@pytest.mark.parametrize(("method", "what"), [("GET", "weights"), ("PUT", "update")])
def test_an_item_that_does_not_exist_has_no_files(
    remote: Remote, item: str, method: str, what: str, training: Training
) -> None:
    node = remote.join()
    content = {"content": b"update", "headers": BINARY} if method == "PUT" else {}
    status, code, _ = ask(node, method, item, what, **content)
    assert (status, code) in [(404, "unknown_item"), (422, "invalid_item_id"), (404, "unknown_route")]
    assert training.stored() == []


def test_items_that_are_requests_have_neither_weights_nor_updates(remote: Remote, training: Training) -> None:
    node = remote.join()
    remote.market.place()
    remote.market.clear()
    [item] = node.claim()
    assert get(node, item) == (409, "not_a_training_item", "item")
    assert put(node, item) == (409, "not_a_training_item", "item")
    assert training.stored() == []


def test_an_update_says_its_length_and_is_no_larger_than_its_weights_can_be_written(
    remote: Remote, training: Training
) -> None:
    node = remote.join()
    item = held(training, node)

    def pieces() -> Iterator[bytes]:
        yield b"update"

    told = {"fence": str(item.fence)}
    chunked = ask(node, "PUT", item.item_id, "update", content=pieces(), headers=BINARY, params=told)
    assert chunked == (422, "missing_length", "Content-Length")
    assert put(node, item, b"") == (422, "missing_length", "Content-Length")
    most = WIDTH_FACTOR * training.weights("adding").size_bytes + HEADER_BYTES
    assert put(node, item, b"1" * (most + 1)) == (413, "too_large", "body")
    assert training.stored() == []
    assert put(node, item, b"1" * most) == (204, None, None)


def test_nodes_of_one_account_do_not_wait_for_room_of_each_other(
    remote: Remote, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "OWNER_BYTES_MAX", 10)
    one, other = remote.join("one"), remote.join("other")
    item = held(training, other)
    with scratch.folder(8, str(one.id)), scratch.folder(8, str(remote.market.provider.account_id)):
        assert put(other, item) == (204, None, None)
    with scratch.folder(8, str(other.id)):
        assert put(other, item) == (503, "temporary_disk_full", None)


def test_weights_come_with_their_sum_and_those_that_are_gone_are_missing(
    remote: Remote, training: Training, tmp_path: Path
) -> None:
    node = remote.join()
    item = held(training, node)
    url = f"/api/v1/node/work/items/{item.item_id}/weights"
    answer = node.http.get(url, params={"agent": str(node.agent_id), "fence": str(item.fence)})
    weights = training.weights("adding")
    assert answer.headers["Swarmex-Checksum"] == weights.sha256
    assert int(answer.headers["Content-Length"]) == len(answer.content) == weights.size_bytes
    node.port.get_weights(item, "any", tmp_path / "weights")
    assert (tmp_path / "weights").read_bytes() == answer.content
    remote.market.app.objects.delete(weights.key)
    with pytest.raises(FileNotFoundError):
        node.port.get_weights(item, "any", tmp_path / "weights")


@pytest.mark.parametrize(
    "outputs",
    [
        OUTPUTS,
        b"{}",
        b"[" * 100_000,
        ANSWER.replace(b'"examples":7', b'"examples":0'),
        ANSWER.replace(b"0.5", b"1" + b"0" * 400),
        ANSWER.replace(b"0.5", b"NaN"),
        ANSWER.replace(b'"size_bytes":10', b'"size_bytes":99999999999999'),
    ],
    ids=["tensors", "nothing", "nested", "no-examples", "huge-metric", "no-number", "huge-file"],
)
def test_a_result_that_says_nothing_of_an_update_is_a_failure(
    remote: Remote, training: Training, outputs: bytes
) -> None:
    node = remote.join()
    item = held(training, node)
    assert node.port.commit([ItemResult(item.item_id, item.fence, 5, outputs)]) == set()
    [seen] = training.items()
    assert (seen.state, seen.outputs, seen.error) == ("queued", None, "the node's outputs are no answer")


def test_a_request_cannot_be_answered_like_a_training_item(remote: Remote, training: Training) -> None:
    node = remote.join()
    remote.market.place()
    remote.market.clear()
    [item] = node.claim()
    for answer in (ANSWER, LocalDecline("no").wire()):
        assert node.port.commit([ItemResult(item.item_id, item.fence, 5, answer)]) == set()
        [item] = node.claim()
    with remote.market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT state, outputs FROM work_items")).one() == ("running", None)


def test_a_refused_update_is_told_to_the_agent_that_brings_it(
    remote: Remote, training: Training, tmp_path: Path
) -> None:
    node = remote.join()
    item = held(training, node)
    node.port.release([(item.item_id, item.fence)])
    (tmp_path / "update").write_bytes(b"1" * 3_000_000)  # more than a connection holds
    with pytest.raises(Refused) as refused:
        node.port.put_update(item, "any", tmp_path / "update")
    assert (refused.value.status, refused.value.code) == (409, "item_not_held")


@pytest.fixture
def machine(remote: Remote, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The program that a machine runs after `swarmex node join`, for a node that has an offer."""
    node = remote.join(slots=2)  # the first fit keeps its slot until its round ends
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"url": remote.url, "node_id": str(node.id), "name": "attic", "key": node.key}))
    node.port.stopped(node.agent_id)  # the program is an agent of its own
    passed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = passed | {"SWARMEX_DATA_FOLDER": str(tmp_path / "data"), "SWARMEX_TRAINERS": clients.ALLOWED}
    command = [sys.executable, "-m", "agents.inference.remote", str(file)]
    with (tmp_path / "log").open("wb") as log:
        program = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    yield program
    program.kill()
    program.wait(PATIENCE_S)


def test_a_machine_that_is_stopped_in_the_middle_of_a_fit_hands_it_back(
    remote: Remote, training: Training, machine: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def placed(**changes: Any) -> ItemSeen:
        """Clear until the machine has it."""
        training.place(training.task(**changes))
        until(lambda: remote.market.clear() or training.items()[-1].state != "waiting", "it is leased")
        return training.items()[-1]

    first = placed(config={"step": 4.0})
    until(lambda: training.items()[0].state == "reported", "it is fitted")
    assert training.update(training.items()[0]) == [[4.0] * 6, [4.0] * 3]
    second = placed(seconds_max=3_600, config={"gate": str(gate)})
    assert second.id != first.id
    until(lambda: gate.with_name("gate.begun").exists(), "it is in the middle")
    machine.send_signal(signal.SIGTERM)
    assert machine.wait(PATIENCE_S) == 0
    left = training.items()[-1]
    assert (left.state, left.attempt, left.error) == ("queued", 0, None), "no attempt of anybody's"
    assert len(training.stored()) == 1
