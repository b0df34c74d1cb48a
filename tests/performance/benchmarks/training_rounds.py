"""Seconds of a training round beside its local training, and of rounds with hundreds of participants."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.federated.jobs import FIT_S_DEFAULT, Target, TrainingSpec
from backend.domain.federated.states import JobState, ParticipantState
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import TrainingJobId
from backend.services import training_jobs
from backend.services.audit import audit_ledger
from tests.market import Market
from tests.performance.bench import Bench
from tests.performance.rows import Row
from tests.performance.rows import Target as Promise
from tests.performance.system import FLEET, POOL

AGENTS = 2  # of inference, each with a trainer's process: as many as there are cores
MEMBERS = (
    *(member for member in FLEET if member.kind is not AgentKind.INFERENCE),
    FleetSpec("training-round", AgentKind.TRAINING_ROUND),
    FleetSpec("nodes", AgentKind.INFERENCE, ("--pool", POOL), replicas=AGENTS),
)
FEW, FEW_ROUNDS = 50, 8
MANY, MANY_ROUNDS = 500, 10
FIT_S = 1  # as whoever has a small model would say
WARM_UP = 2  # rounds that count for nothing: trainers' processes start in them
OVERHEAD_MAX_S = 1.0
MANY_MAX_S = 300.0
TIMEOUT_S = 150.0
POLL_S = 0.1
# The fits of a round are over when those of the agent with most of them are.
FITS = """
    SELECT number, max(busy_us) AS busy_us FROM (
        SELECT r.number, i.agent_id, sum(i.reported_us) AS busy_us FROM training_rounds r
        JOIN training_participants p ON p.round_id = r.id JOIN work_items i ON i.order_id = p.order_id
        WHERE r.job_id = :job GROUP BY r.number, i.agent_id
    ) of_agents GROUP BY number ORDER BY number
"""


def run(bench: Bench) -> Iterator[Row]:
    """Every agent is a process, as in a deployment, and every participant an order on a node of its own.

    The model is a small one (650 weights), so that nearly all of a round is what the market and the coordinator do.
    A unit of work holds some seconds' worth: fits of a second at most travel by tens, those of the default one by one.
    """
    with bench.system(MEMBERS) as system:
        market = system.market
        _wait(lambda: _count(market, "SELECT count(*) FROM models WHERE format = 'trainer'"), "trainers are announced")
        _nodes(market, 0, FEW)
        yield _overhead(bench, market, "round_overhead", FIT_S, Promise("value", "≤", OVERHEAD_MAX_S))
        yield _overhead(bench, market, "round_overhead_default", FIT_S_DEFAULT, None)
        _nodes(market, FEW, MANY)
        lasted = _rounds_s(market, _train(market, MANY, MANY_ROUNDS, FIT_S))
        bench.step()
        assert audit_ledger(market.app.uow()).ok
    yield Row(
        "many_participants",
        sum(lasted),
        f"s for {MANY_ROUNDS} rounds of {MANY} participants",
        "s, the slowest round",
        max(lasted),
        None,
        Promise("value", "≤", MANY_MAX_S),
    )


def _overhead(bench: Bench, market: Market, name: str, fit_s: int, promise: Promise | None) -> Row:
    job = _train(market, FEW, FEW_ROUNDS, fit_s)
    bench.step()
    lasted, fits = _rounds_s(market, job), _fits_s(market, job)
    beside = [whole - fit for whole, fit in zip(lasted, fits, strict=True)][WARM_UP:]
    return Row(
        name,
        median(beside),
        f"s of a round of {FEW} beside their fits of at most {fit_s} s, the median of {len(beside)}",
        "s of the round in all",
        median(lasted[WARM_UP:]),
        median(beside) / median(lasted[WARM_UP:]),
        promise,
    )


def _nodes(market: Market, first: int, stop: int) -> None:
    for number in range(first, stop):
        market.node(f"machine-{number}", pool=POOL)


def _train(market: Market, participants: int, rounds: int, fit_s: int) -> TrainingJobId:
    """Run a job whose every round waits for all of its participants, to its end."""
    spec = TrainingSpec(
        trainer="digits-linear",
        rounds=rounds,
        participants=participants,
        participants_min=participants,
        fit_s=fit_s,
        round_s=int(TIMEOUT_S),
        target=Target("accuracy", higher_is_better=True),
    )
    made = training_jobs.create_job(market.app.uow(), utc_now(), market.buyer, spec).job
    name = training_jobs.job_name(made.id)

    def job() -> training_jobs.JobView:
        return training_jobs.show_job(market.app.uow(), name, market.buyer)

    _wait(lambda: job().job.ended_at, f"the job of {participants} participants has ended")
    assert job().job.state is JobState.DONE, (job().job.reason, job().job.result_error)
    found = training_jobs.rounds_of(market.app.uow(), name, market.buyer)
    assert [one.round.attempt for one in found] == [1] * rounds, "a round had to be repeated"
    assert all(one.counts[ParticipantState.ACCEPTED] == participants for one in found)
    return made.id


def _rounds_s(market: Market, job: TrainingJobId) -> list[float]:
    """Seconds of each round, from its beginning to that of the next, or to the end of the job."""
    with market.app.uow() as uow:
        found = uow.training_rounds.of_job(job)
        ended = uow.training_jobs.find(job)
    assert ended is not None
    assert ended.ended_at is not None
    moments = [*(round_.started_at for round_ in found), ended.ended_at]
    return [(after - before).total_seconds() for before, after in pairwise(moments)]


def _fits_s(market: Market, job: TrainingJobId) -> list[float]:
    """Seconds of local training in each round, agents training side by side."""
    with market.app.engine.connect() as connection:
        return [float(row.busy_us) / 1e6 for row in connection.execute(text(FITS), {"job": job})]


def _count(market: Market, statement: str) -> int:
    with market.app.engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def _wait(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT_S} s: {what}")
        time.sleep(POLL_S)
