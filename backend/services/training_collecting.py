"""A round under way: who has reported, who has dropped out and is replaced, and whether it is time to aggregate.

Nobody may report any more once that is decided: what has not run is cancelled first, and only then is looked once more
at what was reported. So a late update is void in the database, whoever sends it and whenever it comes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.errors import Invalid
from backend.domain.federated.states import JobState, ParticipantState
from backend.domain.federated.tasks import LocalDecline, LocalResult, read_result, update_bytes_max
from backend.domain.ids import NodeId, ParticipantId
from backend.domain.leases import ItemState
from backend.domain.orders import OrderState
from backend.services.training_ending import TOO_LATE, Verdict, cancel, cut, fail_round, goes_on, judge, lock_job, move
from backend.services.training_orders import ask
from backend.services.training_selecting import choose_nodes
from backend.storage.contention import patient
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_participants import Participant, Standing
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

ASKED_PER_WANTED_MAX = 2  # of one round: so many replacements, and no more
LEASE_WAIT = timedelta(seconds=10)  # an order that has found no slot by then makes room for another node's
NODE_LOST = "node_lost"
NO_LEASE = "no_lease"
NOT_NEEDED = "not_needed"


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at a round found: participants with news, verdicts on those that dropped out, who declined."""

    reported: list[Participant]
    verdicts: dict[ParticipantId, Verdict]
    declined: dict[NodeId, str]


@patient
def collect(uow: UnitOfWork, now: datetime, job: TrainingJob) -> bool:
    """Look at the open round of a job that runs; returns whether anything was decided."""
    with uow:
        current = lock_job(uow, job.id, JobState.RUNNING)
        round_ = uow.training_rounds.open_of(job.id)
        if current is None or round_ is None:
            return True
        if current.cancel_requested:
            cancel(uow, now, current)
            uow.commit()
            return True
        moved = _advance(uow, now, current, round_)
        uow.commit()
    return moved


def _advance(uow: UnitOfWork, now: datetime, job: TrainingJob, round_: Round) -> bool:
    over = now >= round_.deadline_at
    standings, news = _take_in(uow, now, job, round_, _locked(uow, now, round_))
    reported = _in_state(standings, ParticipantState.REPORTED)
    waiting = _in_state(standings, ParticipantState.ASKED)
    asked = 0 if over else _replace(uow, now, job, round_, standings, round_.wanted - reported - waiting)
    nobody_left = waiting == 0 and asked == 0 and reported >= job.spec.participants_min
    if reported < round_.wanted and not nobody_left and not over:
        return news or asked > 0
    standings, _ = _take_in(uow, now, job, round_, cut(uow, now, round_), last=True)
    late = _late(standings, TOO_LATE if over else NOT_NEEDED)
    if _in_state(standings, ParticipantState.REPORTED) < job.spec.participants_min:
        fail_round(uow, now, job, round_, standings, late)
    else:
        judge(uow, now, job, standings, late)
        move(uow, replace(job, state=JobState.AGGREGATING))
    return True


def _locked(uow: UnitOfWork, now: datetime, round_: Round) -> list[Standing]:
    """How a round's participants stand. Those that go on are locked where any may be judged or cut off: orders come
    before money.
    """
    standings = uow.training_participants.standings(round_.id, now)
    asked = [one for one in standings if one.participant.state is ParticipantState.ASKED]
    going = [one.participant.order_id for one in standings if goes_on(one)]
    quiet = any(asked) and now < round_.deadline_at and not any(_has_news(one, now) for one in asked)
    if quiet or not going:
        return standings
    uow.orders.lock_all(going)
    return uow.training_participants.standings(round_.id, now)


def _has_news(standing: Standing, now: datetime) -> bool:
    return standing.item_state is ItemState.REPORTED or _dropped_out(standing, now) is not None


def _take_in(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    round_: Round,
    standings: Sequence[Standing],
    *,
    last: bool = False,
) -> tuple[list[Standing], bool]:
    """Record what is new of these participants; returns them as they are then, and whether anything was.

    At the `last` look, after which all are cut off, nobody drops out any more.
    """
    assert job.weights is not None
    looked = _look(standings, now, round_.deadline_at, update_bytes_max(job.weights), last=last)
    if not looked.reported and not looked.verdicts:
        return list(standings), False
    uow.training_participants.write(looked.reported)
    ended = judge(uow, now, job, standings, looked.verdicts)
    _remember(uow, job, looked)
    news = {one.id: one for one in (*looked.reported, *ended)}
    return [replace(s, participant=news.get(s.participant.id, s.participant)) for s in standings], True


def _look(standings: Iterable[Standing], now: datetime, deadline_at: datetime, bytes_max: int, *, last: bool) -> Looked:
    looked = Looked([], {}, {})
    for standing in standings:
        one = standing.participant
        if one.state is not ParticipantState.ASKED:
            continue
        if standing.item_state is ItemState.REPORTED and standing.committed_at and standing.committed_at > deadline_at:
            looked.verdicts[one.id] = ParticipantState.LATE, TOO_LATE  # though nobody looked in between
        elif standing.item_state is ItemState.REPORTED:
            _read(standing, bytes_max, looked)
        elif not last and (reason := _dropped_out(standing, now)):
            looked.verdicts[one.id] = ParticipantState.DROPPED, reason
    return looked


def _read(standing: Standing, bytes_max: int, looked: Looked) -> None:
    """What a participant answered: what cannot be read, or would be too large, is rejected at once."""
    one = standing.participant
    try:
        answer = read_result(standing.outputs or b"")
    except Invalid as error:
        looked.verdicts[one.id] = ParticipantState.REJECTED, f"{error.code}: {error.message}"
        return
    if isinstance(answer, LocalDecline):
        looked.verdicts[one.id] = ParticipantState.DROPPED, answer.reason
        looked.declined[one.node_id] = answer.reason
        return
    if answer.size_bytes > bytes_max:  # or room would be kept free for it where it is aggregated
        reason = f"invalid_result: an update of {answer.size_bytes} bytes, at most {bytes_max} are taken"
        looked.verdicts[one.id] = ParticipantState.REJECTED, reason
        return
    looked.reported.append(_reported(one, answer))


def _reported(one: Participant, result: LocalResult) -> Participant:
    return replace(
        one,
        state=ParticipantState.REPORTED,
        examples=result.examples,
        update_sha256=result.sha256,
        metrics=result.metrics,
    )


def _dropped_out(standing: Standing, now: datetime) -> str | None:
    """Why nothing is to be expected of a participant any more, None as long as there is."""
    if not goes_on(standing) or standing.order_state is OrderState.CLOSING:
        return standing.error or str(standing.order_reason or standing.order_state)
    if standing.item_state in (ItemState.DEAD, ItemState.CANCELLED, ItemState.REJECTED):
        return standing.error or str(standing.item_state)
    if standing.order_state is OrderState.OPEN:  # not leased yet, or its node was taken from it
        if not standing.node_alive:
            return NODE_LOST
        if now - standing.participant.asked_at > LEASE_WAIT:
            return NO_LEASE
    return None


def _remember(uow: UnitOfWork, job: TrainingJob, looked: Looked) -> None:
    """How much data nodes have, and which have none, as they say."""
    known = uow.training_nodes.of_job(job.id)
    sized = [replace(known[one.node_id], examples=one.examples) for one in looked.reported]
    declined = [replace(known[node], declined=reason) for node, reason in looked.declined.items()]
    uow.training_nodes.write([*sized, *declined])


def _replace(
    uow: UnitOfWork, now: datetime, job: TrainingJob, round_: Round, standings: Sequence[Standing], missing: int
) -> int:
    """Ask other nodes in the place of those that dropped out; returns how many."""
    room = min(missing, ASKED_PER_WANTED_MAX * round_.wanted - len(standings))
    taken = {standing.participant.node_id for standing in standings}
    nodes = choose_nodes(uow, now, job, round_, taken, room) if room > 0 else []
    asked = ask(uow, now, job, round_, nodes, 1) if nodes else None
    if asked is None:
        return 0
    uow.training_participants.add(asked.participants)
    return len(asked.participants)


def _late(standings: Iterable[Standing], reason: str) -> dict[ParticipantId, Verdict]:
    waiting = (s.participant for s in standings if s.participant.state is ParticipantState.ASKED)
    return {one.id: (ParticipantState.LATE, reason) for one in waiting}


def _in_state(standings: Iterable[Standing], state: ParticipantState) -> int:
    return sum(standing.participant.state is state for standing in standings)
