"""The end of a round: updates are checked, become the next weights, and everybody gets a verdict and its money.

The files are read and written outside of any transaction. Whoever dies in between has paid nobody; another makes the
weights anew, and only those that are recorded count.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from backend.domain.errors import Invalid
from backend.domain.federated.aggregation import State, aggregate
from backend.domain.federated.faults import UpdateRejected
from backend.domain.federated.progress import weighted_metrics
from backend.domain.federated.states import EndReason, JobState, ParticipantState, RoundState
from backend.domain.federated.strategies import Strategy, strategy_named
from backend.domain.federated.tasks import (
    LocalResult,
    WeightsRef,
    checkpoint_key,
    read_result,
    state_key,
    update_key,
)
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import Weights
from backend.domain.ids import ParticipantId
from backend.domain.leases import ItemState
from backend.services import scratch
from backend.services.lanes import in_threads
from backend.services.training_ending import Verdict, cancel, end_early, fail_round, goes_on, judge, lock_job, move
from backend.services.training_files import fetch, fetch_update, store
from backend.services.training_privacy import central_privacy
from backend.services.training_tools import Tools
from backend.services.weights_files import open_weights, write_arrays, write_weights
from backend.storage.contention import patient
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_participants import Participant, Standing
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

ORDER_ENDED = "order_ended"  # before the update was judged

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a round's updates: the next weights, or None without a quorum; and who was rejected, with why."""

    weights: WeightsRef | None
    strategy_state: WeightsRef | None
    rejected: dict[ParticipantId, str]


@dataclass(frozen=True, slots=True)
class _Received:
    """A participant's update, whose form is right."""

    standing: Standing
    update: Update


def aggregate_round(uow: Uow, now: datetime, objects: ObjectStore, tools: Tools, job: TrainingJob) -> bool:
    """Make the next weights of what a round's participants reported; without a quorum of good updates it fails."""
    with uow() as reading:
        round_ = reading.training_rounds.open_of(job.id)
        standings = [] if round_ is None else [one for one in _reported(reading, now, round_) if _payable(one)]
    if round_ is None:
        return False
    if job.cancel_requested:
        return _stop(uow(), now, job, EndReason.CANCELLED_BY_USER)
    try:
        outcome = _outcome(objects, tools, job, round_, standings)
    except Invalid as error:  # the updates are good, yet nothing can be made of them: they diverge
        return _stop(uow(), now, job, EndReason.TRAINER_FAILED, error.message)
    return _record(uow(), now, job, round_, outcome, {standing.participant.id for standing in standings})


def _reported(uow: UnitOfWork, now: datetime, round_: Round) -> list[Standing]:
    found = uow.training_participants.standings(round_.id, now)
    return [standing for standing in found if standing.participant.state is ParticipantState.REPORTED]


def _payable(standing: Standing) -> bool:
    """Whether what was reported can still be paid for: a hold that ran out during an outage ended its order."""
    return standing.item_state is ItemState.REPORTED and goes_on(standing)


def _outcome(
    objects: ObjectStore, tools: Tools, job: TrainingJob, round_: Round, standings: Sequence[Standing]
) -> Outcome:
    assert job.weights is not None
    strategy = strategy_named(job.spec.strategy, job.spec.strategy_options)
    results = {standing.participant.id: _result(standing) for standing in standings}
    room = 3 * job.weights.size_bytes + _bytes_of(job.strategy_state)
    if objects.local_path(job.weights.key) is None:
        room += sum(result.size_bytes for result in results.values())
    with scratch.folder(room, f"training {job.id}") as folder:
        base = open_weights(fetch(objects, job.weights, folder / "base.safetensors"))
        received, rejected = _receive(objects, job, round_, standings, results, base, folder)
        if len(received) < max(job.spec.participants_min, strategy.participants_min):
            return Outcome(None, None, rejected)
        made = aggregate(
            strategy,
            base.flat(),
            [one.update for one in received],
            _state(objects, job, strategy, folder),
            central_privacy(tools, job.spec),
            in_threads,
        )
        path = folder / "weights.safetensors"
        write_weights(path, base.layout, made.weights)
        weights = store(objects, path, lambda sha256: checkpoint_key(job.id, round_.number, sha256))
        kept = None
        if made.state is not None:
            write_arrays(folder / "state.safetensors", made.state)
            path = folder / "state.safetensors"
            kept = store(objects, path, lambda sha256: state_key(job.id, round_.number, sha256))
    return Outcome(weights, kept, rejected)


def _receive(
    objects: ObjectStore,
    job: TrainingJob,
    round_: Round,
    standings: Sequence[Standing],
    results: dict[ParticipantId, LocalResult],
    base: Weights,
    folder: Path,
) -> tuple[list[_Received], dict[ParticipantId, str]]:
    """Updates that can be used, in the order of their participants, and why the others cannot."""
    received: list[_Received] = []
    rejected: dict[ParticipantId, str] = {}
    for number, standing in enumerate(standings):
        id_, result = standing.participant.id, results[standing.participant.id]
        key = update_key(job.id, round_.number, standing.item_id, standing.fence)
        ref = WeightsRef(key, result.sha256, result.size_bytes)
        try:
            file = fetch_update(objects, ref, folder / f"{number}.safetensors")
            update = Update(open_weights(file), result.examples)
            update.check(base.layout)
        except UpdateRejected as error:
            rejected[id_] = f"{error.code}: {error.message}"
            log.info("training.update_rejected", job=str(job.id), node=standing.node_name, code=error.code)
            continue
        received.append(_Received(standing, update))
    return received, rejected


def _state(objects: ObjectStore, job: TrainingJob, strategy: Strategy, folder: Path) -> State | None:
    if job.strategy_state is None or not strategy.has_state:
        return None
    return open_weights(fetch(objects, job.strategy_state, folder / "last.safetensors")).arrays()


def _result(standing: Standing) -> LocalResult:
    result = read_result(standing.outputs or b"")
    assert isinstance(result, LocalResult)  # or it would not be reported
    return result


def _bytes_of(ref: WeightsRef | None) -> int:
    return 2 * ref.size_bytes if ref else 0


@patient
def _record(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    round_: Round,
    outcome: Outcome,
    used: Collection[ParticipantId],
) -> bool:
    """Verdicts, money, trust, the round and the job, all at once; nothing if any that was `used` is not payable now:
    then the weights are made anew without it.
    """
    with uow:
        current = lock_job(uow, job.id, JobState.AGGREGATING)
        opened = uow.training_rounds.open_of(job.id)
        if current is None or opened is None or opened.id != round_.id:
            return True
        uow.orders.lock_all([standing.participant.order_id for standing in _reported(uow, now, round_)])
        standings = _reported(uow, now, round_)
        if not current.cancel_requested and {one.participant.id for one in standings if _payable(one)} != set(used):
            return True
        verdicts = _verdicts(standings, outcome)
        if current.cancel_requested:
            cancel(uow, now, current)
        elif outcome.weights is None:
            fail_round(uow, now, current, round_, standings, verdicts)
        else:
            ended = judge(uow, now, current, standings, verdicts)
            _go_on(uow, now, current, round_, outcome, ended)
        uow.commit()
    return True


def _go_on(
    uow: UnitOfWork, now: datetime, job: TrainingJob, round_: Round, outcome: Outcome, ended: Sequence[Participant]
) -> None:
    accepted = [one for one in ended if one.state is ParticipantState.ACCEPTED]
    metrics = weighted_metrics((one.examples or 0, one.metrics or {}) for one in accepted)
    uow.training_rounds.write(
        replace(round_, state=RoundState.AGGREGATED, ended_at=now, weights=outcome.weights, metrics=metrics)
    )
    aggregated = replace(
        job,
        state=JobState.EVALUATING,
        round=round_.number,
        failed_rounds=0,
        weights=outcome.weights,
        strategy_state=outcome.strategy_state,
    )
    move(uow, aggregated)


def _verdicts(standings: Sequence[Standing], outcome: Outcome) -> dict[ParticipantId, Verdict]:
    """On everybody where there are weights; else only on those that were rejected, or cannot be paid for any more."""
    verdicts: dict[ParticipantId, Verdict] = {
        id_: (ParticipantState.REJECTED, reason) for id_, reason in outcome.rejected.items()
    }
    for standing in standings:
        if not _payable(standing):
            verdicts[standing.participant.id] = ParticipantState.LATE, ORDER_ENDED
        elif outcome.weights is not None:
            verdicts.setdefault(standing.participant.id, (ParticipantState.ACCEPTED, None))
    return verdicts


@patient
def _stop(uow: UnitOfWork, now: datetime, job: TrainingJob, reason: EndReason, error: str | None = None) -> bool:
    with uow:
        current = lock_job(uow, job.id, JobState.AGGREGATING)
        if current is not None:
            end_early(uow, now, replace(current, result_error=error), reason)
            uow.commit()
    return True
