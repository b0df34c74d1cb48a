"""The beginning of a round: weights to begin with, nodes whose turn it is, and their orders with the round's row."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.federated.progress import epsilon_spent
from backend.domain.federated.selection import Past, select
from backend.domain.federated.states import EndReason, JobState, RoundState
from backend.domain.federated.tasks import WeightsRef, checkpoint_key
from backend.domain.ids import NodeId, RoundId
from backend.domain.tiers import parse_tier
from backend.services import scratch
from backend.services.training_ending import cancel, end_job, lock_job, move
from backend.services.training_files import note_beginning, store
from backend.services.training_orders import ask
from backend.services.training_privacy import epsilon_spent_by, rounds_of_one
from backend.services.training_tools import Tools, TrainerBroke
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_nodes import CandidateNode, TrainingNode
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

CANDIDATES_MAX = 2_000  # looked at for one round
INITIAL_BYTES = 64 << 20  # of scratch room that initial weights are taken to need


class _TooFew(Exception):
    """A round has no quorum to begin with; for a reason that will not pass by itself, or for now."""

    def __init__(self, reason: EndReason | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


def begin_round(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> bool:
    """Open the next round, or end the job; returns whether that was done, not only waited for."""
    if not job.cancel_requested and _tells_too_much(uow, tools, job):
        return _give_up(uow(), now, job, EndReason.EPSILON_SPENT)
    if job.round == 0 and not job.cancel_requested:
        if job.weights is not None:
            note_beginning(objects, job.id, job.weights)
        else:
            try:
                weights = _initial(objects, tools, job)
            except TrainerBroke as error:
                return _give_up(uow(), now, job, EndReason.TRAINER_FAILED, error.message)
            return _begin_with(uow(), job, weights)
    try:
        return _open_round(uow(), now, job)
    except _TooFew as few:
        return few.reason is not None and _give_up(uow(), now, job, few.reason)


def _tells_too_much(uow: Uow, tools: Tools, job: TrainingJob) -> bool:
    """Whether ε would be passed by one round more; a round that failed may have told of its participants too."""
    if job.spec.privacy is None:
        return False
    with uow() as reading:
        most = rounds_of_one(job.spec, reading.training_nodes.of_job(job.id).values())
    return epsilon_spent(job.spec, epsilon_spent_by(tools, job.spec, most + 1))


def _initial(objects: ObjectStore, tools: Tools, job: TrainingJob) -> WeightsRef:
    with scratch.folder(INITIAL_BYTES, str(job.account_id)) as folder:
        path = folder / "initial.safetensors"
        tools.initial(job.spec.trainer, job.spec.seed, job.spec.config, path)
        return store(objects, path, lambda sha256: checkpoint_key(job.id, 0, sha256))


@patient
def _begin_with(uow: UnitOfWork, job: TrainingJob, weights: WeightsRef) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.SELECTING)
        if current is not None and current.weights is None:
            move(uow, replace(current, weights=weights))
            uow.commit()
    return True


@patient
def _give_up(uow: UnitOfWork, now: datetime, job: TrainingJob, reason: EndReason, error: str | None = None) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.SELECTING)
        if current is not None:
            end_job(uow, now, replace(current, result_error=error), reason)
            uow.commit()
    return True


@patient
def _open_round(uow: UnitOfWork, now: datetime, job: TrainingJob) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.SELECTING)
        if current is None:
            return True
        if current.cancel_requested:
            cancel(uow, now, current)
        elif now >= current.deadline_at:
            end_job(uow, now, current, EndReason.DEADLINE_PASSED)
        else:
            _ask_nodes(uow, now, current)
        uow.commit()
    return True


def _ask_nodes(uow: UnitOfWork, now: datetime, job: TrainingJob) -> None:
    """Ask those whose turn it is, and open the round; raises _TooFew, after which nothing is to be committed."""
    spec = job.spec
    round_ = Round(
        id=RoundId(new_id()),
        job_id=job.id,
        number=job.round + 1,
        attempt=job.failed_rounds + 1,
        state=RoundState.OPEN,
        started_at=now,
        deadline_at=min(now + timedelta(seconds=spec.round_s), job.deadline_at),
        wanted=spec.participants,
    )
    chosen = choose_nodes(uow, now, job, round_, (), spec.participants, free_min=spec.participants_min)
    if len(chosen) < spec.participants_min:
        raise _TooFew(EndReason.NO_QUORUM if _waited_after_failure(uow, now, job) else None)
    asked = ask(uow, now, job, round_, chosen, spec.participants_min)
    if asked is None:
        raise _TooFew(EndReason.BUDGET_SPENT)
    if len(asked.participants) < spec.participants_min:
        raise _TooFew(EndReason.INSUFFICIENT_FUNDS if asked.short_of_funds else None)
    if asked.short_of_funds or not asked.within_budget:  # then more are not asked for later in this round either
        round_ = replace(round_, wanted=len(asked.participants))
    uow.training_rounds.add(round_)
    uow.training_participants.add(asked.participants)
    move(uow, replace(job, state=JobState.RUNNING))


def _waited_after_failure(uow: UnitOfWork, now: datetime, job: TrainingJob) -> bool:
    """Whether a round failed and, for as long as another one would have taken, there were too few nodes to try again.

    Before its first round, and after a good one, a job waits until its deadline.
    """
    if job.failed_rounds == 0:
        return False
    ended_at = uow.training_rounds.of_job(job.id)[-1].ended_at
    return ended_at is not None and now >= ended_at + timedelta(seconds=job.spec.round_s)


def choose_nodes(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    round_: Round,
    taken: Collection[NodeId],
    count: int,
    *,
    free_min: int = 0,
) -> list[CandidateNode]:
    """The nodes to be asked next in a round, without those that were asked in it.

    Raises _TooFew where they are `free_min` at least, but fewer have a free slot now: a round that begins on a market
    that is taken fails.
    """
    spec = job.spec
    classes = uow.tiers.current(now)[parse_tier(spec.tier)].classes
    found = uow.training_nodes.candidates(classes, spec.region, spec.trust_min_ppm, now, CANDIDATES_MAX)
    history = past_of(uow.training_nodes.of_job(job.id))
    others = [one for one in found if one.node_id not in taken]
    chosen = select(others, history, count, f"{job.id} {spec.seed} {round_.number} {round_.attempt}")
    free = {one.node_id for one in others if one.slots_free > 0}
    if len(free.intersection(chosen)) < free_min <= len(chosen):
        raise _TooFew
    by_id = {one.node_id: one for one in others}
    return [by_id[node] for node in chosen]


def past_of(nodes: Mapping[NodeId, TrainingNode]) -> dict[NodeId, Past]:
    """What selection goes by."""
    return {id_: Past(one.asked, one.failed, one.declined is not None, one.examples) for id_, one in nodes.items()}
