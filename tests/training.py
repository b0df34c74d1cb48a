"""Training jobs for tests of what tells of them: begun by the service, their rounds recorded as an agent would."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Principal
from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import EndReason, JobState, RoundState
from backend.domain.federated.tasks import WeightsRef, checkpoint_key
from backend.domain.ids import ModelId, NodeId, RoundId, TrainingJobId
from backend.domain.tiers import parse_tier
from backend.services import trainers, training_jobs
from backend.services.training_orders import ask
from backend.services.training_selecting import CANDIDATES_MAX
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_rounds import Round

TRAINER = "sums"
FACTS = trainers.TrainerFacts(TRAINER, "Adds up what it has.", ("accuracy", "loss"))


def spec(**changes: object) -> TrainingSpec:
    """Three rounds of one node, for accuracy, or as changed."""
    values: dict[str, object] = {
        "trainer": TRAINER,
        "rounds": 3,
        "participants": 1,
        "participants_min": 1,
        "target": Target("accuracy", higher_is_better=True),
    }
    return TrainingSpec(**(values | changes))  # type: ignore[arg-type]  # a test's own words


def begin(app: Swarmex, owner: Principal, **changes: object) -> str:
    """The name of a job that has just begun; its trainer is announced first."""
    trainers.announce(app.uow(), utc_now(), [FACTS])
    made = training_jobs.create_job(app.uow(), utc_now(), owner, spec(**changes))
    return training_jobs.job_name(made.job.id)


def aggregated(app: Swarmex, name: str, accuracy: float, epsilon: float | None = None) -> WeightsRef:
    """One round more has been aggregated, and its weights were found to be so good."""
    now = utc_now()
    with app.uow() as uow:
        job = _job(app, name)
        ref = _weights(app, job.id, job.round + 1)
        made = _round(job, RoundState.AGGREGATED)
        metrics = {"accuracy": accuracy, "loss": 1 - accuracy}
        uow.training_rounds.add(replace(made, weights=ref, metrics=metrics, epsilon=epsilon, ended_at=now))
        better = job.best_value is None or accuracy > job.best_value
        best = (accuracy, made.number) if better else (job.best_value, job.best_round)
        far = replace(job, round=made.number, weights=ref, epsilon=epsilon, best_value=best[0], best_round=best[1])
        uow.training_jobs.write(far)
        uow.commit()
    return ref


def asked(app: Swarmex, name: str, nodes: Sequence[NodeId]) -> None:
    """The next round is open, these nodes have been asked to take part: their orders are placed."""
    with app.uow() as uow:
        job = _job(app, name)
        if job.weights is None:
            job = replace(job, weights=_weights(app, job.id, 0))
        made = _round(job, RoundState.OPEN)
        classes = uow.tiers.current(utc_now())[parse_tier(job.spec.tier)].classes
        found = uow.training_nodes.candidates(classes, None, 0, utc_now(), CANDIDATES_MAX)
        taken = ask(uow, utc_now(), job, made, [one for one in found if one.node_id in nodes], 1)
        assert taken is not None
        assert len(taken.participants) == len(nodes), taken.refused
        uow.training_rounds.add(made)
        uow.training_participants.add(taken.participants)
        uow.training_jobs.write(replace(job, state=JobState.RUNNING))
        uow.commit()


def ended(
    app: Swarmex, name: str, state: JobState, reason: EndReason, model: ModelId | None = None, error: str | None = None
) -> None:
    """The job has ended; `model` is what came of it."""
    with app.uow() as uow:
        job = _job(app, name)
        done = replace(job, state=state, reason=reason, ended_at=utc_now())
        uow.training_jobs.write(replace(done, result_model_id=model, result_error=error))
        uow.commit()


def content(number: int) -> bytes:
    """What the weights of a round are, here."""
    return b"weights %d" % number * 1_000


def _job(app: Swarmex, name: str) -> TrainingJob:
    with app.uow() as uow:
        job = uow.training_jobs.find(training_jobs.parse_job_name(name))
    assert job is not None
    return job


def _weights(app: Swarmex, job_id: TrainingJobId, number: int) -> WeightsRef:
    sha256 = hashlib.sha256(content(number)).hexdigest()
    key = checkpoint_key(job_id, number, sha256)
    app.objects.put(content(number), key)
    return WeightsRef(key, sha256, len(content(number)))


def _round(job: TrainingJob, state: RoundState) -> Round:
    now = utc_now()
    return Round(RoundId(new_id()), job.id, job.round + 1, 1, state, now, now + timedelta(minutes=1), 1)
