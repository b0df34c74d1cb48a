"""The training-round agent as a process, with real trainers on both sides: it learns, is served, and may be killed."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from agents.inference.claims import ClaimKeeper
from agents.inference.runner import UnitRunner
from agents.inference.training_items import TrainingItems
from agents.inference.weight_files import WeightFiles
from agents.trainers.host import TrainerHost
from agents.work_port import DirectWorkPort
from backend.bootstrap import utc_now
from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import EndReason, JobState, ParticipantState
from backend.domain.federated.tasks import update_key
from backend.domain.orders import OrderState
from backend.services import sweeper, trainers, training_jobs
from backend.services.training_jobs import JobView
from tests.integration.agents import gates
from tests.integration.agents.conftest import Node
from tests.integration.agents.processes import AgentProcess, Start
from tests.integration.services.earning import assert_audited
from tests.market import Market
from tests.waiting import until

JOB_S = 600.0  # what a whole job may take where the machine has much else to do


class Participants(Node):
    """The nodes of a pool in this process, with trainers; every turn does what allocation and settlement would."""

    def __init__(self, market: Market, folder: Path, count: int, allowed: str = "") -> None:
        super().__init__(market, folder)
        self.market = market
        self.nodes = [market.node(f"n{number}") for number in range(count)]
        self.host = TrainerHost(allowed)
        self.port = DirectWorkPort(market.node_database, self.agent_id, market.app.bus, market.app.objects)
        self.claims = ClaimKeeper(self.port, every_s=0.1)
        self.training = TrainingItems(self.port, lambda: self.host, self.claims, WeightFiles(folder / "weights"))
        self.runner = UnitRunner(self.port, self.models, self.claims, training=self.training)
        self.claims.start()

    def turn(self) -> None:
        """Clear, run what was dispatched, settle."""
        self.beat()
        self.market.clear()
        for dispatch in self.market.dispatched():
            self.runner.run(dispatch.unit_id)
        sweeper.sweep(self.market.app.uow(), utc_now())
        self.market.settle()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Turn after turn until it is so."""

        def turned() -> object:
            self.turn()
            return condition()

        until(turned, what, JOB_S)

    def alive_until(self, condition: Callable[[], object], what: str) -> None:
        """Do nothing but live until it is so."""

        def beaten() -> object:
            self.beat()
            return condition()

        until(beaten, what)

    def close(self) -> None:
        self.training.close()
        self.claims.stop()


@pytest.fixture
def participants(market: Market, tmp_path: Path) -> Iterator[Callable[..., Participants]]:
    """Makes the nodes of a test."""
    made: list[Participants] = []

    def make(count: int, allowed: str = "") -> Participants:
        made.append(Participants(market, tmp_path, count, allowed))
        return made[-1]

    yield make
    for one in made:
        one.close()


def known(market: Market) -> list[str]:
    return [facts.name for facts in trainers.list_trainers(market.app.uow())]


def submit(market: Market, spec: TrainingSpec) -> str:
    view = training_jobs.create_job(market.app.uow(), utc_now(), market.buyer, spec)
    return training_jobs.job_name(view.job.id)


def show(market: Market, name: str) -> JobView:
    return training_jobs.show_job(market.app.uow(), name, market.buyer)


def test_it_makes_its_trainers_known_and_ends_in_order(market: Market, start: Start) -> None:
    agent = start("training-round")
    until(lambda: known(market) == ["digits-linear", "digits-mlp"], "its trainers are known")
    assert agent.stop(signal.SIGTERM) == 0
    with market.app.engine.connect() as connection:
        [(kind, state)] = connection.execute(text("SELECT kind, state FROM agents WHERE kind = 'training-round'"))
    assert (kind, state) == ("training-round", "stopped")


def test_digits_are_learned_where_they_lie_and_the_result_answers_requests(
    market: Market, start: Start, participants: Callable[..., Participants]
) -> None:
    start("training-round")
    crowd = participants(6)
    until(lambda: known(market), "its trainers are known")
    spec = TrainingSpec(
        trainer="digits-linear",
        rounds=8,
        participants=6,
        participants_min=4,
        local_epochs=2,
        config={"split": "dirichlet", "alpha": 0.5, "learning_rate": 0.1},
        round_s=300,
        target=Target("accuracy", higher_is_better=True, value=0.88),
        name="digits-learned",
    )
    name = submit(market, spec)
    crowd.until(lambda: show(market, name).job.ended_at, "the job has ended")
    ended = show(market, name)
    assert (ended.job.state, ended.job.reason) == (JobState.DONE, EndReason.TARGET_REACHED)
    assert (ended.job.best_value or 0.0) >= 0.88
    assert ended.charged_nano > 0
    with market.app.uow() as uow:
        [model] = uow.models.versions(["digits-learned"])["digits-learned"].values()
    pixels = {"name": model.ref.signature.inputs[0].name, "shape": [1, 64], "datatype": "FP32", "data": [8.0] * 64}
    [order] = market.place(model="digits-learned", requests=[{"inputs": [pixels]}])
    crowd.until(lambda: market.show(order).state == OrderState.SETTLED, "the model has answered")
    assert_audited(market)


class Chain:
    """Agents of which one dies in each state, and the next goes on."""

    def __init__(self, market: Market, start: Start) -> None:
        self._market = market
        self._start = start
        self.agent: AgentProcess = start("training-round")

    def kill(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """End the one there is without a word, and start another; nobody has the job in hand any more."""
        self.agent.stop(signal.SIGKILL)
        meanwhile()
        with self._market.app.engine.begin() as connection:
            connection.execute(text("UPDATE training_jobs SET claimed_until = created_at"))
        self.agent = self._start("training-round")


def test_an_agent_that_is_killed_in_each_state_loses_and_repeats_nothing(
    market: Market,
    start: Start,
    participants: Callable[..., Participants],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SWARMEX_TRAINERS", gates.ALLOWED)
    folder = tmp_path / "gates"
    folder.mkdir()
    crowd = participants(2, gates.ALLOWED)
    chain = Chain(market, start)
    until(lambda: "gated" in known(market), "its trainers are known")
    spec = TrainingSpec(
        trainer="gated",
        rounds=1,
        participants=2,
        participants_min=2,
        config={"gates": str(folder)},
        fit_s=60,
        round_s=600,
    )
    name = submit(market, spec)

    def dies_in(what: str, state: JobState) -> None:
        """The agent is killed while it waits in this call, which may go on afterwards."""
        begun = folder / f"{what}.begun"
        crowd.until(begun.exists, f"{what} has begun")
        assert show(market, name).job.state is state
        chain.kill()
        (folder / what).touch()

    dies_in("initial", JobState.SELECTING)
    crowd.alive_until(lambda: show(market, name).job.state is JobState.RUNNING, "the round has begun")
    chain.kill()
    (folder / "fit").touch()
    # While one has reported and the other has not, what the first stored is made to be read without end.
    crowd.beat()
    market.clear()
    [first, second] = [dispatch.unit_id for dispatch in market.dispatched()]
    crowd.runner.run(first)
    stored = next(
        path
        for standing in training_jobs.participants_of(market.app.uow(), name, 1, market.buyer)
        if (key := update_key(show(market, name).job.id, 1, standing.item_id, standing.fence))
        and (path := market.app.objects.local_path(key)) is not None
        and path.exists()
    )
    kept = stored.rename(stored.with_suffix(".kept"))
    os.mkfifo(stored)
    crowd.runner.run(second)
    crowd.alive_until(lambda: show(market, name).job.state is JobState.AGGREGATING, "all have reported")
    chain.kill(lambda: kept.rename(stored))
    dies_in("evaluate", JobState.EVALUATING)
    dies_in("export", JobState.EXPORTING)
    crowd.until(lambda: show(market, name).job.ended_at, "the job has ended")

    ended = show(market, name)
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, EndReason.ROUNDS_DONE, 1)
    [round_] = training_jobs.rounds_of(market.app.uow(), name, market.buyer)
    assert round_.counts == {ParticipantState.ACCEPTED: 2}
    with market.app.engine.connect() as connection:
        paid = connection.execute(
            text("SELECT count(*) FROM work_items WHERE state = 'settled' AND attempt = 1")
        ).scalar_one()
    assert paid == 2
    assert market.wallet().reserved_nano == 0
    assert_audited(market)
