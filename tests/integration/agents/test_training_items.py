"""Training items in an agent's hands: fitted in a process of their own, their updates stored before they are told."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from agents.inference.claims import ClaimKeeper
from agents.inference.runner import UnitReport, UnitRunner
from agents.inference.training import trained_by
from agents.inference.training_items import TrainingItems
from agents.inference.training_lane import TrainingLane
from agents.inference.weight_files import WeightFiles
from agents.trainers.host import TrainerHost
from agents.work_port import DirectWorkPort
from backend.bootstrap import Settings, utc_now
from backend.domain.errors import Invalid
from backend.domain.federated.tasks import LocalDecline, LocalResult, LocalTask
from backend.domain.health import Signs, Verdict, judge
from backend.domain.ids import ItemId, UnitId
from backend.domain.work import ClaimedItem, ItemResult
from backend.messaging.dispatcher import Dispatcher
from backend.services import relay, sweeper
from tests.integration.agents import clients
from tests.integration.agents.conftest import Node
from tests.integration.agents.processes import Start, alive
from tests.integration.agents.training import Training, host
from tests.market import Market
from tests.waiting import PATIENCE_S, until

HOUR_S = 3_600


class Trainee(Node):
    """An inference agent's working parts, with trainers."""

    def __init__(self, market: Market, folder: Path) -> None:
        super().__init__(market, folder)
        self.port = DirectWorkPort(market.node_database, self.agent_id, market.app.bus, market.app.objects)
        self.hosts: list[TrainerHost] = []
        self.claims = ClaimKeeper(self.port, every_s=0.1)
        self.training = TrainingItems(self.port, self._host, self.claims, WeightFiles(folder / "weights"))
        self.runner = UnitRunner(self.port, self.models, self.claims, training=self.training)

    def _host(self) -> TrainerHost:
        self.hosts.append(host())
        return self.hosts[-1]

    def run(self, market: Market) -> list[UnitReport]:
        """Run what is dispatched."""
        return [self.runner.run(unit) for unit in units(market)]


@pytest.fixture
def trainee(market: Market, tmp_path: Path) -> Iterator[Trainee]:
    trainee = Trainee(market, tmp_path)
    trainee.claims.start()
    yield trainee
    trainee.training.close()
    trainee.claims.stop()


@pytest.fixture
def training(market: Market, tmp_path: Path) -> Training:
    return Training(market, tmp_path)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def units(market: Market) -> list[UnitId]:
    return [dispatch.unit_id for dispatch in market.dispatched()]


def change(market: Market, statement: str) -> None:
    """As its owner would."""
    with market.app.engine.begin() as connection:
        connection.execute(text(statement))


def blamed(market: Market) -> int:
    """How often something was recorded for or against a node."""
    with market.app.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM trust_events")).scalar_one())


class Gate:
    """Where a trainer waits in the middle of its fit."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"
        self._begun = folder / "gate.begun"

    def wait_begun(self) -> int:
        """The process that trains, once it does."""
        until(lambda: self._begun.exists() and self._begun.read_text(), "the fit has begun")
        return int(self._begun.read_text())

    def open(self) -> None:
        """Let it go on."""
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.open()


def begun(pool: ThreadPoolExecutor, market: Market, trainee: Trainee, gate: Gate) -> tuple["Future[UnitReport]", int]:
    """The run of the one unit that is dispatched, in the middle of its fit, and the process that trains."""
    [unit] = units(market)
    running = pool.submit(trainee.runner.run, unit)
    return running, gate.wait_begun()


def test_a_fit_is_reported_with_its_update_in_the_store_and_is_billed_by_its_time(
    market: Market, trainee: Trainee, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a")
    stored_at_commit: list[list[str]] = []
    commit = trainee.port.commit

    def watched(results: list[ItemResult]) -> set[ItemId]:
        stored_at_commit.append(training.stored())
        return commit(results)

    monkeypatch.setattr(trainee.port, "commit", watched)
    training.place(training.task(config={"step": 2.5}))
    market.clear()
    assert trainee.run(market) == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert (item.state, item.attempt) == ("reported", 1)
    answer = item.answer
    assert isinstance(answer, LocalResult)
    assert (answer.examples, answer.metrics) == (clients.EXAMPLES, {"loss": 0.5})
    assert stored_at_commit == [[training.update_key(item)]]
    assert training.update(item) == [[2.5] * 6, [2.5] * 3]
    assert market.app.objects.checksum(training.update_key(item)) == answer.sha256
    assert item.billed_us is not None
    assert 0 < item.billed_us <= 60_000_000


def test_participants_of_a_pool_fetch_the_weights_once_and_share_one_process(
    market: Market, trainee: Trainee, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get_weights = trainee.port.get_weights

    def counted(item: ClaimedItem, key: str, path: Path) -> None:
        fetched.append(key)
        get_weights(item, key, path)

    monkeypatch.setattr(trainee.port, "get_weights", counted)
    nodes = [market.node(f"n{number}") for number in range(5)]
    for number, node in enumerate(nodes):
        training.place(training.task(partition=number, partitions=5, seconds_max=1), node.id)
    market.clear()
    assert sum(report.committed for report in trainee.run(market)) == 5
    assert {item.state for item in training.items()} == {"reported"}
    assert len(set(training.stored())) == 5
    assert fetched == [training.weights("adding").key]
    assert len(trainee.hosts) == 1


@pytest.mark.parametrize(
    ("trainer", "reason"), [("nobody-has-it", "no trainer nobody-has-it here"), ("empty", "no data for this")]
)
def test_who_has_no_part_to_give_declines_and_that_is_no_failure(
    market: Market, trainee: Trainee, training: Training, trainer: str, reason: str
) -> None:
    market.node("a")
    training.place(training.task(trainer))
    market.clear()
    assert trainee.run(market) == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert (item.state, item.error, item.billed_us) == ("reported", None, 0)
    assert isinstance(item.answer, LocalDecline)
    assert reason in item.answer.reason
    assert training.stored() == []


def test_an_agent_without_trainers_declines(market: Market, node: Node, training: Training) -> None:
    market.node("a")
    training.place(training.task())
    market.clear()
    [unit] = units(market)
    assert node.runner.run(unit) == UnitReport(1, 1, 0)
    [item] = training.items()
    assert isinstance(item.answer, LocalDecline)


def test_an_agent_that_lacks_what_trainers_need_declines(
    market: Market, node: Node, training: Training, tmp_path: Path
) -> None:
    def host() -> TrainerHost:
        raise ModuleNotFoundError("No module named 'safetensors'", name="safetensors")

    port = DirectWorkPort(market.node_database, node.agent_id, market.app.bus, market.app.objects)
    items = TrainingItems(port, host, node.claims, WeightFiles(tmp_path / "weights"))
    market.node("a")
    training.place(training.task())
    market.clear()
    [unit] = units(market)
    assert UnitRunner(port, node.models, node.claims, training=items).run(unit) == UnitReport(1, 1, 0)
    [item] = training.items()
    assert isinstance(item.answer, LocalDecline)
    assert "safetensors is not installed" in item.answer.reason


def test_a_trainer_that_breaks_is_no_fault_of_its_node_and_its_words_stay_where_the_data_is(
    market: Market, trainee: Trainee, training: Training
) -> None:
    market.node("a")
    training.place(training.task("breaking"))
    market.clear()
    assert trainee.run(market) == [UnitReport(1, 1, 0)]
    [item] = training.items()
    assert (item.state, item.attempt, item.error, item.billed_us) == ("reported", 1, None, 0)
    assert isinstance(item.answer, LocalDecline)
    assert "RuntimeError" in item.answer.reason
    assert "secret" not in item.answer.reason
    assert blamed(market) == 0
    assert training.stored() == []


def test_a_fit_that_takes_longer_than_it_may_is_killed_and_the_next_one_runs(
    market: Market, trainee: Trainee, training: Training, gate: Gate
) -> None:
    market.node("a")
    training.place(training.task(seconds_max=1, config={"gate": str(gate.path)}))
    market.clear()
    assert trainee.run(market) == [UnitReport(1, 1, 0)]
    [late] = training.items()
    assert isinstance(late.answer, LocalDecline)
    assert "took longer than 1 s" in late.answer.reason
    assert blamed(market) == 0
    until(lambda: not alive(gate.wait_begun()), "it is dead")
    market.node("b")
    training.place(training.task())
    market.clear()
    trainee.run(market)
    assert training.items()[1].state == "reported"


@pytest.mark.parametrize("content", [b"not what was announced", None], ids=["forged", "missing"])
def test_weights_that_are_not_those_announced_are_not_trained_on(
    market: Market, trainee: Trainee, training: Training, content: bytes | None
) -> None:
    market.node("a")
    weights = training.weights("adding")
    if content is None:
        market.app.objects.delete(weights.key)
    else:
        market.app.objects.put(content, weights.key)
    training.place(training.task())
    market.clear()
    assert trainee.run(market) == [UnitReport(1, 0, 1)]
    [item] = training.items()
    assert ("sha256" if content else weights.key) in str(item.error)


def test_what_cannot_be_read_as_a_task_fails_alone(market: Market, trainee: Trainee, training: Training) -> None:
    market.node("a")
    training.place(training.task())
    market.clear()
    change(market, "UPDATE work_items SET inputs = '{\"local_task\":{}}'")
    assert trainee.run(market) == [UnitReport(1, 0, 1)]


def test_a_fit_whose_claim_is_lost_is_killed_and_leaves_nothing(
    market: Market, trainee: Trainee, training: Training, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    market.node("a")
    training.place(training.task(config={"gate": str(gate.path)}))
    market.clear()
    running, child = begun(pool, market, trainee, gate)
    change(market, "UPDATE work_items SET fence = fence + 1")
    assert running.result(PATIENCE_S) == UnitReport(1, 0, 0)
    assert not alive(child)
    assert training.stored() == []
    [item] = training.items()
    assert (item.state, item.error) == ("running", None), "it is another's"


def test_claims_of_a_fit_are_kept_for_as_long_as_it_takes(
    market: Market, trainee: Trainee, training: Training, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    market.node("a")
    training.place(training.task(config={"gate": str(gate.path)}))
    market.clear()
    running, _ = begun(pool, market, trainee, gate)
    soon = "UPDATE work_items SET claimed_until = clock_timestamp() + interval '0.01 s'"
    kept = text("SELECT 1 FROM work_items WHERE claimed_until > clock_timestamp() + interval '1 s'")
    change(market, soon)
    with market.app.engine.connect() as connection:
        until(lambda: connection.execute(kept).all(), "it is kept")
    trainee.beat()
    sweeper.sweep(market.app.uow(), utc_now())
    gate.open()
    assert running.result(PATIENCE_S) == UnitReport(1, 1, 0)
    [item] = training.items()
    assert (item.state, item.attempt) == ("reported", 1)


def test_a_fit_of_an_hour_is_no_hang_while_it_may_take_that_long(
    market: Market, trainee: Trainee, training: Training, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    market.node("a")
    training.place(training.task(seconds_max=HOUR_S, config={"gate": str(gate.path)}))
    market.clear()
    running, _ = begun(pool, market, trainee, gate)
    with market.app.uow() as uow:
        [sight] = [sight for sight in uow.agents.sights(utc_now()) if sight.id == trainee.agent_id]
    assert (sight.held, sight.held_us) == (1, HOUR_S * 1_000_000)
    so_far = Signs(HOUR_S, 0.5, unmoved_s=HOUR_S, held_us=sight.held_us)
    assert judge(so_far).verdict is Verdict.HEALTHY
    gate.open()
    running.result(PATIENCE_S)


def test_requests_of_a_unit_are_answered_before_its_fits(
    market: Market, trainee: Trainee, training: Training, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    market.node("a", slots=2)
    training.place(training.task(seconds_max=1, config={"gate": str(gate.path)}))
    market.place()
    market.clear()
    market.dispatched()
    change(market, "UPDATE work_items SET unit_id = (SELECT unit_id FROM work_items WHERE judged)")
    with market.app.engine.connect() as connection:
        [unit] = set(connection.execute(text("SELECT unit_id FROM work_items")).scalars())
        running = pool.submit(trainee.runner.run, unit)
        gate.wait_begun()
        state = text("SELECT state FROM work_items WHERE NOT judged")
        until(lambda: connection.execute(state).scalar_one() == "committed", "it is answered")
    gate.open()
    running.result(PATIENCE_S)


def test_an_agent_goes_on_with_requests_while_a_fit_runs(
    market: Market, trainee: Trainee, training: Training, gate: Gate
) -> None:
    told: list[UnitReport] = []
    lane = TrainingLane(UnitRunner(trainee.port, trainee.models, trainee.claims), trainee.runner, told.append)
    market.node("a", slots=2)
    training.place(training.task(config={"gate": str(gate.path)}))
    market.clear()
    [unit] = units(market)
    report = lane.run(unit)
    assert (report, report.lost) == (UnitReport(1, 0, 0, aside=1), 0)
    gate.wait_begun()
    market.place()
    market.clear()
    [unit] = units(market)
    assert lane.run(unit) == UnitReport(1, 1, 0)
    assert not lane.join(0.0)
    gate.open()
    assert lane.join(PATIENCE_S)
    assert told == [UnitReport(1, 1, 0)]
    assert [item.state for item in training.items()] == ["reported"]
    assert lane.done == 2
    assert trainee.claims.held() == []


def test_fits_wait_for_each_other_and_keep_their_claims_meanwhile(
    market: Market, trainee: Trainee, training: Training, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    lane = TrainingLane(UnitRunner(trainee.port, trainee.models, trainee.claims), trainee.runner)
    market.node("a", slots=2)
    for step in (1.0, 2.0):
        training.place(training.task(config={"gate": str(gate.path), "step": step}))
    market.clear()
    first, second = units(market)
    lane.run(first)
    child = gate.wait_begun()
    waiting = pool.submit(lane.run, second)
    until(lambda: len(trainee.claims.held()) == 2, "it is claimed")
    assert not waiting.done()
    assert sorted(item.state for item in training.items()) == ["running", "running"]
    gate.open()
    assert waiting.result(PATIENCE_S).aside == 1
    assert lane.join(PATIENCE_S)
    assert [item.state for item in training.items()] == ["reported", "reported"]
    assert gate.wait_begun() == child, "one process for both"


def test_fits_whose_requests_could_not_be_sent_are_not_held_on_to(
    market: Market, trainee: Trainee, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_results: list[ItemResult]) -> set[ItemId]:
        raise ConnectionError("away")

    lane = TrainingLane(UnitRunner(trainee.port, trainee.models, trainee.claims), trainee.runner)
    market.node("a", slots=2)
    training.place(training.task(seconds_max=1))
    market.place()
    market.clear()
    market.dispatched()
    change(market, "UPDATE work_items SET unit_id = (SELECT unit_id FROM work_items WHERE judged)")
    with market.app.engine.connect() as connection:
        [unit] = set(connection.execute(text("SELECT unit_id FROM work_items")).scalars())
    monkeypatch.setattr(trainee.port, "commit", away)
    with pytest.raises(ConnectionError):
        lane.run(unit)
    assert trainee.claims.held() == []
    assert training.stored() == []


def test_an_agent_that_is_never_asked_to_train_imports_nothing_for_it() -> None:
    heavy = ("safetensors", "sklearn", "scipy", "agents.trainers.host", "torch")
    program = (
        "import json, sys\nimport agents.inference.launch, agents.inference.remote\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=PATIENCE_S)
    assert json.loads(told.stdout) == []


@pytest.mark.parametrize("changes", [{"trainers": "no=place"}, {"training_data": "not/absolute"}], ids=str)
def test_settings_that_cannot_be_right_are_told_at_the_start(
    market: Market, node: Node, tmp_path: Path, changes: dict[str, str]
) -> None:
    settings = Settings(data_folder=tmp_path)
    trained_by(settings, node.port)
    with pytest.raises(Invalid):
        trained_by(settings.model_copy(update=changes), node.port)


def test_an_agent_fits_what_its_queue_brings_and_one_that_is_stopped_in_the_middle_leaves_it_to_another(
    market: Market,
    start: Start,
    trainee: Trainee,
    training: Training,
    gate: Gate,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SWARMEX_TRAINERS", clients.ALLOWED)
    market.node("a")
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    dispatcher = Dispatcher(redis_url)

    def bring(task: LocalTask) -> None:
        training.place(task)
        market.clear()
        relay.relay(market.app.uow(), utc_now(), dispatcher.send)

    bring(training.task(config={"step": 3.0}))
    until(lambda: training.items()[0].state == "reported", "it is fitted")
    assert training.update(training.items()[0]) == [[3.0] * 6, [3.0] * 3]
    market.node("b")
    bring(training.task(seconds_max=HOUR_S, config={"gate": str(gate.path)}))
    dispatcher.close()
    child = gate.wait_begun()
    assert agent.stop(signal.SIGTERM) == 0
    assert agent.says("fit.given_up")() or agent.says("unit.abandoned")()
    until(lambda: not alive(child), "its child went with it")
    assert len(training.stored()) == 1
    gate.open()

    def taken() -> bool:
        trainee.beat()
        sweeper.sweep(market.app.uow(), utc_now())
        return any(report.committed for report in trainee.run(market))

    until(taken, "another took it")
    _, item = training.items()
    assert item.state == "reported"
    assert training.update(item) == [[1.0] * 6, [1.0] * 3]
