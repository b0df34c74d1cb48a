"""Whoever works on a training job may die anywhere: another goes on, and nothing is lost, repeated or paid twice."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.federated.states import FINAL, EndReason, JobState, ParticipantState, RoundState
from backend.services import training_run
from backend.services.training_claims import CLAIM
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.services.training import AIM, Training, without_data
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")
TURNS_MAX = 200
ROUNDS = 3

Die = Callable[[str], bool]


class Dead(BaseException):
    """The process ended here: nothing of it catches that."""


class MortalUow(UnitOfWork):
    """A unit of work whose process may die just before it commits, or just after."""

    die: Die

    def commit(self) -> None:
        where = sys._getframe(1).f_code.co_name
        if self.die(f"before {where}"):
            raise Dead(where)
        super().commit()
        if self.die(f"after {where}"):
            raise Dead(where)


class MortalStore(ObjectStore):
    """An object store whose user may die before or after it stored something."""

    def __init__(self, url: str, die: Die) -> None:
        super().__init__(url)
        self._die = die

    def put_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        kind = path.stem
        if self._die(f"before storing {kind}"):
            raise Dead(key)
        super().put_file(path, key, replace=replace)
        if self._die(f"after storing {kind}"):
            raise Dead(key)


def run_mortal(training: Training, name: str, die: Die) -> int:
    """Run a job to its end with workers that die; returns how many did."""
    market, deaths = training.market, 0

    def uow() -> UnitOfWork:
        made = MortalUow(market.app.engine, market.app.bus.publish)
        made.die = die
        return made

    objects = MortalStore(market.app.settings.objects, die)
    for _ in range(TURNS_MAX):
        if training.show(name).job.state in FINAL:
            return deaths
        training.due()
        try:
            training_run.work(uow, utc_now(), objects, training.tools)
        except Dead:
            deaths += 1
        training.fit()
        market.settle()
    raise AssertionError(f"{training.show(name)} after {TURNS_MAX} turns")


def assert_once(training: Training, name: str) -> None:
    """Every round was made of three updates, each of them asked, run and paid for once."""
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, EndReason.ROUNDS_DONE, ROUNDS)
    rounds = training.rounds(name)
    assert [(r.round.number, r.round.attempt, r.round.state) for r in rounds] == [
        (number, 1, RoundState.AGGREGATED) for number in range(1, ROUNDS + 1)
    ]
    assert [r.counts[ParticipantState.ACCEPTED] for r in rounds] == [3] * ROUNDS
    assert training.weights(name) == pytest.approx([7 / 8 * one for one in AIM])
    wallet = training.market.wallet()
    assert wallet.reserved_nano == 0
    with training.market.app.engine.connect() as connection:
        paid, attempts, owed, versions = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM work_items WHERE state = 'settled'),"
                " (SELECT max(attempt) FROM work_items),"
                " (SELECT count(*) FROM account_deliveries),"
                " (SELECT count(*) FROM models WHERE name = 'mortal')"
            )
        ).one()
    assert (paid, attempts, owed, versions) == (3 * ROUNDS, 1, 1, 1)
    assert ended.charged_nano == sum(r.charged_nano for r in rounds)


def submit(training: Training) -> str:
    return training.submit(rounds=ROUNDS, name="mortal", webhook="https://example.com/hook")


def test_a_job_survives_a_death_at_every_point_once(market: Market) -> None:
    training = Training.of(market, 4)
    training.acts[training.nodes[3].id] = without_data
    seen: set[str] = set()

    def die(where: str) -> bool:
        known = where in seen
        seen.add(where)
        return not known

    deaths = run_mortal(training, name := submit(training), die)
    assert deaths == len(seen)
    steps = ("_begin_with", "_open_round", "collect", "_record", "_end", "register_model", "describe")
    assert {f"{when} {step}" for when in ("before", "after") for step in steps} <= seen
    assert {"before storing initial", "after storing initial", "after storing weights"} <= seen
    assert_once(training, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_job_survives_deaths_at_random_points(market: Market, seed: int) -> None:
    training, chance = Training.of(market, 3), Random(seed)
    deaths = run_mortal(training, name := submit(training), lambda _: chance.random() < 0.25)
    assert deaths > 0
    assert_once(training, name)


def test_two_workers_with_the_same_job_in_hand_do_each_step_once(market: Market) -> None:
    training = Training.of(market, 3)
    name = submit(training)
    for _ in range(TURNS_MAX):
        job = training.show(name).job
        if job.state in FINAL:
            break
        for _ in range(2):  # as two that read it at the same moment
            training_run.step(market.app.uow, utc_now(), training.objects, training.tools, job)
        training.fit()
    assert_once(training, name)


def test_a_worker_that_aggregates_for_too_long_changes_nothing_any_more(market: Market) -> None:
    training = Training.of(market, 3)
    name = submit(training)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    stale = training.show(name).job
    training.run_until(name, lambda view: view.job.state is JobState.RUNNING and view.job.round == 1)
    training_run.step(market.app.uow, utc_now(), training.objects, training.tools, stale)
    assert training.show(name).job.state is JobState.RUNNING
    assert set(training.states(name, 2).values()) == {ParticipantState.ASKED}
    training.run(name)
    assert_once(training, name)


def test_a_claimed_job_is_left_alone_until_the_claim_is_over(market: Market) -> None:
    training = Training.of(market, 3)
    training.submit()
    now = utc_now()
    with market.app.uow() as uow:
        assert uow.training_jobs.claim(now, now + CLAIM)
        uow.commit()
    for at, found in ((now, False), (now + CLAIM, True)):
        assert training_run.work(market.app.uow, at, training.objects, training.tools) is found
