"""How a round ends, and how a job does: whatever was asked is paid or not, nothing of it goes on, somebody is told.

All of it inside an open unit of work in which the job's row is locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.domain.federated.progress import FAILED_ROUNDS_MAX
from backend.domain.federated.states import EndReason, JobState, ParticipantState, RoundState, final_state
from backend.domain.federated.tasks import REASON_CHARS_MAX
from backend.domain.ids import ParticipantId, TrainingJobId
from backend.domain.orders import OrderState
from backend.services import judging
from backend.services.training_telling import owe
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_nodes import TrainingNode
from backend.storage.training_participants import Participant, Standing
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

GOING = (OrderState.OPEN, OrderState.RUNNING, OrderState.CLOSING)
UNDECIDED = (ParticipantState.ASKED, ParticipantState.REPORTED)
ROUND_FAILED = "round_failed"
TOO_LATE = "too_late"

Verdict = tuple[ParticipantState, str | None]


def lock_job(uow: UnitOfWork, job_id: TrainingJobId, state: JobState) -> TrainingJob | None:
    """The job, locked until the transaction ends; None if it is not in that state any more."""
    job = uow.training_jobs.find(job_id, for_update=True)
    return job if job is not None and job.state is state else None


def move(uow: UnitOfWork, job: TrainingJob) -> None:
    """Record a job, which the caller has locked, with what is new; whoever waits for that is woken."""
    uow.training_jobs.write(job)
    uow.emit(Event(Topic.TRAINING_CHANGED, str(job.id)))


def end_job(uow: UnitOfWork, now: datetime, job: TrainingJob, reason: EndReason) -> None:
    """Let a job end, which has no open round any more: at once, or by way of exporting what it learned."""
    state = final_state(reason, job.round)
    if state is JobState.DONE:
        move(uow, replace(job, state=JobState.EXPORTING, reason=reason))
    else:
        close_job(uow, now, replace(job, state=state, reason=reason))


def close_job(uow: UnitOfWork, now: datetime, job: TrainingJob) -> None:
    """Record a job in its final state; its webhook is owed the news."""
    ended = replace(job, ended_at=now)
    owe(uow, now, ended)
    move(uow, ended)


def cut(uow: UnitOfWork, now: datetime, round_: Round) -> list[Standing]:
    """How a round's participants stand once nobody may report any more: what has not run is cancelled."""
    going = [s.participant.order_id for s in uow.training_participants.standings(round_.id, now) if goes_on(s)]
    if going:
        uow.orders.lock_all(going)
        uow.work.cancel(going)
    return uow.training_participants.standings(round_.id, now)


def judge(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    standings: Sequence[Standing],
    verdicts: Mapping[ParticipantId, Verdict],
) -> list[Participant]:
    """Record verdicts on participants, which are final: accepted updates are paid for, rejected ones speak against
    their nodes, all others are not paid for; their orders end. Returns the participants as they are then.

    Who was rejected, dropped out or was too late is asked less often by this job.
    """
    judged = [standing for standing in standings if standing.participant.id in verdicts]
    said = [(standing, *verdicts[standing.participant.id]) for standing in judged]
    judging.judge(
        uow,
        now,
        [standing.participant.order_id for standing in judged if goes_on(standing)],
        [standing.item_id for standing, state, _ in said if state is ParticipantState.ACCEPTED],
        {standing.item_id: reason or "" for standing, state, reason in said if state is ParticipantState.REJECTED},
    )
    ended = [
        replace(standing.participant, state=state, reason=reason and reason[:REASON_CHARS_MAX], ended_at=now)
        for standing, state, reason in said
    ]
    uow.training_participants.write(ended)
    known = uow.training_nodes.of_job(job.id) if ended else {}
    took = {standing.participant.id: standing.billed_us or 0 for standing in judged}
    uow.training_nodes.write([_remembered(known[one.node_id], one, took[one.id]) for one in ended])
    return ended


def _remembered(node: TrainingNode, one: Participant, took_us: int) -> TrainingNode:
    """What a job knows of a node after a verdict."""
    if one.state is ParticipantState.ACCEPTED:
        return replace(node, accepted=node.accepted + 1, fit_us=max(took_us, node.fit_us or 0))
    if one.state is ParticipantState.LATE and one.reason != TOO_LATE:  # that was not its fault
        return node
    return replace(node, failed=node.failed + 1)


def fail_round(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    round_: Round,
    standings: Sequence[Standing],
    verdicts: Mapping[ParticipantId, Verdict],
) -> None:
    """End a round without a quorum. It is tried once more, unless the one before it failed too or time is over.

    Nobody is paid; whoever reported in time, and has no verdict of its own, is not to blame.
    """
    _drop_round(uow, now, job, round_, standings, RoundState.FAILED, verdicts, ROUND_FAILED)
    failed = replace(job, failed_rounds=job.failed_rounds + 1)
    if now >= job.deadline_at:
        end_job(uow, now, failed, EndReason.DEADLINE_PASSED)
    elif failed.failed_rounds >= FAILED_ROUNDS_MAX:
        end_job(uow, now, failed, EndReason.NO_QUORUM)
    else:
        move(uow, replace(failed, state=JobState.SELECTING))


def cancel(uow: UnitOfWork, now: datetime, job: TrainingJob) -> None:
    """End a job whose owner does not want it any more, with its open round; the last checkpoint stays."""
    end_early(uow, now, job, EndReason.CANCELLED_BY_USER)


def end_early(uow: UnitOfWork, now: datetime, job: TrainingJob, reason: EndReason) -> None:
    """End a job with its open round, if there is one."""
    round_ = uow.training_rounds.open_of(job.id)
    if round_ is not None:
        _drop_round(uow, now, job, round_, cut(uow, now, round_), RoundState.CANCELLED, {}, str(reason))
    end_job(uow, now, job, reason)


def goes_on(standing: Standing) -> bool:
    """Whether a participant's order has not ended."""
    return standing.order_state in GOING


def _drop_round(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    round_: Round,
    standings: Sequence[Standing],
    state: RoundState,
    verdicts: Mapping[ParticipantId, Verdict],
    reason: str,
) -> None:
    late = {s.participant.id: (ParticipantState.LATE, reason) for s in standings if s.participant.state in UNDECIDED}
    judge(uow, now, job, standings, {**late, **verdicts})
    uow.training_rounds.write(replace(round_, state=state, ended_at=now))
