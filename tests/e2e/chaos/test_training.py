"""Federated training under faults: its agent dies in each state, a third of a round dies, Redis forgets everything."""

import signal
from collections.abc import Callable

import psutil
import pytest

from backend.bootstrap import utc_now
from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import EndReason, JobState
from backend.domain.fleet import AgentKind, FleetSpec
from backend.services import training_jobs
from backend.services.training_jobs import JobView
from tests.e2e.chaos.arena import END_MAX_S, POOL, Arena
from tests.e2e.training_proof import prove_paid_once
from tests.recoveries import PROPERTY
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

ROUNDS_AGENT = FleetSpec("training-round", AgentKind.TRAINING_ROUND)
STATES = (JobState.SELECTING, JobState.RUNNING, JobState.AGGREGATING, JobState.EVALUATING, JobState.EXPORTING)
LIVING, DOOMED = 56, 24  # nodes: 30% of them die
PARTICIPANTS = 50
CATCH_POLL_S = 0.005
DOOMED_POOL = "doomed"
STANDING = """
    SELECT p.state, n.queue FROM training_participants p JOIN nodes n ON n.id = p.node_id
    JOIN training_rounds r ON r.id = p.round_id WHERE r.state = 'open'
"""
DROPPED = """
    SELECT 1 FROM training_participants p JOIN nodes n ON n.id = p.node_id
    WHERE p.state = 'dropped' AND n.queue = :queue
"""


def test_killed_in_each_state_the_agent_loses_no_round_and_pays_nobody_twice(
    arena: Arena, record_property: Callable[[str, object], None]
) -> None:
    trained(arena, LIVING)
    name = submit(arena, rounds=8, participants=10)
    for state in STATES:
        kill_in(arena, name, state)
    finished(arena, name, rounds=8)
    record_property(PROPERTY, told(arena, name))


def test_a_round_of_which_a_third_dies_is_filled_up_by_others(
    arena: Arena, record_property: Callable[[str, object], None]
) -> None:
    trained(arena, LIVING)
    for number in range(DOOMED):
        arena.market.node(f"doomed-{number}", pool=DOOMED_POOL)
    doomed = arena.start_agent("doomed", "--pool", DOOMED_POOL)
    name = submit(arena, rounds=4, participants=PARTICIPANTS)

    def in_mid_round() -> bool:
        found = arena.query(STANDING)
        sent = sum(one.state == "reported" for one in found)
        return sent >= 5 and any(one.state == "asked" and one.queue == f"pool.{DOOMED_POOL}" for one in found)

    arena.until(in_mid_round, "a round is half done, and some of those who will die are at work")
    arena.strike(f"{DOOMED} of {LIVING + DOOMED} nodes killed")
    doomed.send_signal(signal.SIGKILL)
    doomed.wait(PATIENCE_S)
    finished(arena, name, rounds=4)
    assert arena.query(DROPPED, queue=f"pool.{DOOMED_POOL}"), "somebody was replaced"
    record_property(PROPERTY, told(arena, name))


def test_redis_emptied_again_and_again_stops_no_round(
    arena: Arena, record_property: Callable[[str, object], None]
) -> None:
    trained(arena, LIVING)
    name = submit(arena, rounds=4, participants=PARTICIPANTS)
    for number in range(1, 4):
        arena.until(
            lambda number=number: show(arena, name).job.round >= number - 1 and arena.query(STANDING),  # type: ignore[misc]
            f"round {number} is under way",
        )
        arena.strike("Redis emptied")
        arena.servers.redis.empty()
    finished(arena, name, rounds=4)
    record_property(PROPERTY, told(arena, name))


def trained(arena: Arena, nodes: int) -> None:
    """Let the arena train, too: the agent of rounds, and machines of one slot each."""
    for number in range(nodes):
        arena.market.node(f"crowd-{number}", pool=POOL)
    arena.join(ROUNDS_AGENT)
    arena.until(lambda: arena.query("SELECT 1 FROM models WHERE format = 'trainer'"), "trainers are announced")


def submit(arena: Arena, rounds: int, participants: int) -> str:
    """A job whose rounds need most of those whom they ask; its name."""
    spec = TrainingSpec(
        trainer="digits-linear",
        rounds=rounds,
        participants=participants,
        participants_min=participants * 4 // 5,
        local_epochs=20,
        round_s=120,
        target=Target("accuracy", higher_is_better=True),
    )
    made = training_jobs.create_job(arena.market.app.uow(), utc_now(), arena.market.buyer, spec)
    return training_jobs.job_name(made.job.id)


def show(arena: Arena, name: str) -> JobView:
    """The job as it is now."""
    return training_jobs.show_job(arena.market.app.uow(), name, arena.market.buyer)


def kill_in(arena: Arena, name: str, state: JobState) -> None:
    """SIGKILL the agent of rounds while the job is in that state: it is stopped first, so that it cannot move on."""

    arena.until(lambda: arena.members(AgentKind.TRAINING_ROUND), "the agent is back")
    [process] = arena.members(AgentKind.TRAINING_ROUND).values()  # looked for before: some states last milliseconds

    def caught() -> bool:
        if show(arena, name).job.state is not state:
            return False
        process.send_signal(signal.SIGSTOP)
        if show(arena, name).job.state is state:
            arena.strike(f"the agent killed while {state}")
            process.send_signal(signal.SIGKILL)
            psutil.wait_procs([process], timeout=PATIENCE_S)
            return True
        process.send_signal(signal.SIGCONT)
        return False

    arena.until(caught, f"the job is {state}", END_MAX_S, CATCH_POLL_S)


def finished(arena: Arena, name: str, rounds: int) -> None:
    """Wait for the end of the job, and prove that each round counts once and all money is in order."""
    arena.until(lambda: show(arena, name).job.ended_at, "the job has ended", END_MAX_S)
    job = show(arena, name).job
    assert (job.state, job.reason, job.round) == (JobState.DONE, EndReason.ROUNDS_DONE, rounds), job.result_error
    assert job.result_model_id is not None
    assert (job.best_value or 0.0) > 0.9
    arena.until(lambda: not arena.query("SELECT 1 FROM holds WHERE state = 'pending'"), "nothing is held")
    prove_paid_once(arena.query)
    arena.prove()
    arena.await_fleet()


def told(arena: Arena, name: str) -> str:
    """What happened, and what it took."""
    job, rounds = show(arena, name).job, training_jobs.rounds_of(arena.market.app.uow(), name, arena.market.buyer)
    assert job.ended_at is not None
    took_s = (job.ended_at - job.created_at).total_seconds()
    longest_s = max((one.round.ended_at - one.round.started_at).total_seconds() for one in rounds if one.round.ended_at)
    failed = len(rounds) - job.round
    return (
        f"seed {arena.seed}: {', '.join(arena.faults)}: {job.round} rounds of training in {took_s:.1f} s,"
        f" the longest {longest_s:.1f} s, {failed} repeated"
    )
