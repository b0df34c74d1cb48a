"""Federated training on the whole system: who dies in mid-round costs nobody a round, an update or money."""

import signal
from collections import Counter

import pytest

from backend.bootstrap import utc_now
from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import EndReason, ParticipantState
from backend.services import audit, training_jobs
from backend.services.training_jobs import JobView
from tests.e2e.swarm import Swarm
from tests.e2e.training_proof import prove_paid_once

pytestmark = [pytest.mark.slow]

NODES, ROUNDS, AGENTS = 60, 2, 3
POOL = "crowd"
REPORTED = (
    "SELECT 1 FROM training_participants p JOIN work_items i ON i.order_id = p.order_id WHERE i.state = 'reported'"
)
RUNNING = """
    SELECT a.name FROM work_items i JOIN agents a ON a.id = i.agent_id
    WHERE i.state = 'running' GROUP BY a.name ORDER BY count(*) DESC, a.name
"""


def test_a_job_of_sixty_nodes_ends_well_though_its_agent_and_one_of_theirs_are_killed_in_mid_round(
    swarm: Swarm,
) -> None:
    swarm.start("training-round")
    crowd(swarm)
    swarm.until(lambda: swarm.query("SELECT 1 FROM models WHERE format = 'trainer'"), "trainers are announced")
    name = submit(swarm)

    busy: list[str] = []

    def in_mid_round() -> bool:
        busy[:] = [row.name for row in swarm.query(RUNNING)]
        return bool(busy) and len(swarm.query(REPORTED)) >= 5

    swarm.until(in_mid_round, "some have reported, and somebody trains")
    for victim in ("training-round", busy[0]):
        swarm.signal(victim, signal.SIGKILL)
    assert len(swarm.query(REPORTED)) < NODES, "the round is not over"
    assert [row.number for row in swarm.query("SELECT number FROM training_rounds WHERE state = 'open'")] == [1]
    swarm.start("training-round", name="successor")

    swarm.until(lambda: show(swarm, name).job.ended_at, "the job has ended")
    job = show(swarm, name).job
    assert (job.state, job.reason) == ("done", EndReason.ROUNDS_DONE), job.result_error
    rounds = training_jobs.rounds_of(swarm.market.app.uow(), name, swarm.market.buyer)
    assert [(one.round.number, one.round.attempt, one.round.state) for one in rounds] == [
        (number, 1, "aggregated") for number in range(1, ROUNDS + 1)
    ]
    # Nothing of what had been reported is lost with the agents, and what one of them was at runs again elsewhere.
    assert [dict(one.counts) for one in rounds] == [Counter({ParticipantState.ACCEPTED: NODES})] * ROUNDS
    assert job.best_value is not None
    assert job.best_value > 0.8
    assert job.result_model_id is not None
    prove_paid_once(swarm.query)
    assert swarm.market.wallet().reserved_nano == 0
    assert audit.audit_ledger(swarm.market.app.uow(), exact=True).ok


def crowd(swarm: Swarm) -> None:
    """Machines of one slot each, all served by a few agents."""
    for number in range(NODES):
        swarm.market.node(f"n{number}", pool=POOL)
    for number in range(AGENTS):
        swarm.start("inference", "--pool", POOL, name=f"crowd-{number}")
    beating = "SELECT 1 FROM agents WHERE queue = :queue AND beat_at > now() - interval '2 s'"
    swarm.until(lambda: len(swarm.query(beating, queue=f"pool.{POOL}")) == AGENTS, "all agents are alive")


def submit(swarm: Swarm) -> str:
    """A job that asks every node in each round; its name."""
    spec = TrainingSpec(
        trainer="digits-linear",
        rounds=ROUNDS,
        participants=NODES,
        participants_min=NODES // 2,
        local_epochs=5,
        fit_s=20,
        round_s=300,
        target=Target("accuracy", higher_is_better=True),
    )
    made = training_jobs.create_job(swarm.market.app.uow(), utc_now(), swarm.market.buyer, spec)
    return training_jobs.job_name(made.job.id)


def show(swarm: Swarm, name: str) -> JobView:
    """The job as it is now."""
    return training_jobs.show_job(swarm.market.app.uow(), name, swarm.market.buyer)
