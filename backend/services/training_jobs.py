"""Training jobs: quoted, created, looked at, listed, cancelled. What happens to them in between is `training_run`'s.

Creating a job holds nothing. Each participant's order holds its own worst case while it takes part in a round, and
gives back at the round's end what it did not use.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound, TooLarge
from backend.domain.events import Event, Topic
from backend.domain.federated.jobs import JOBS_OPEN_MAX, PREFIX, TrainingSpec
from backend.domain.federated.states import FINAL, JobState, ParticipantState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.files import parse_name
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, TrainingJobId
from backend.services import training_quotes
from backend.services.idempotency import once
from backend.services.log import record
from backend.services.managing import check_still_belongs
from backend.services.models import require_owner
from backend.services.training_ending import move
from backend.services.training_files import beginning
from backend.services.training_quotes import JobQuote
from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_participants import Standing
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 100
_JOB = "training job"

__all__ = [
    "LIST_MAX",
    "JobQuote",
    "JobView",
    "Page",
    "PlacedJob",
    "RoundView",
    "cancel_job",
    "create_job",
    "job_name",
    "list_jobs",
    "parse_job_name",
    "participants_of",
    "place_job",
    "quote_job",
    "rounds_of",
    "show_job",
    "weights_of",
]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, what it was charged so far and what is held for it, in nano-credits; and, of its open round, how many
    participants are in each state and how many it wants.
    """

    job: TrainingJob
    charged_nano: int
    held_nano: int
    counts: Mapping[ParticipantState, int] | None = None
    wanted: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job that was just placed as a workload, with the quote that it was placed at."""

    quote: JobQuote
    view: JobView


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the jobs asked for, and whether there are more behind them."""

    jobs: list[JobView]
    more: bool


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round, how many of its participants are in each state, and what it was charged, in nano-credits."""

    round: Round
    counts: Mapping[ParticipantState, int]
    charged_nano: int


def job_name(job_id: TrainingJobId) -> str:
    """The id as clients know it."""
    return f"{PREFIX}{job_id.hex}"


def parse_job_name(name: str) -> TrainingJobId:
    """The inverse; raises NotFound."""
    try:
        return TrainingJobId(parse_name(name, PREFIX, _JOB))
    except NotFound as error:
        error.field = "job"  # as of one that is somebody else's
        raise


def quote_job(uow: UnitOfWork, now: datetime, spec: TrainingSpec) -> JobQuote:
    """What a job would cost now; writes nothing, raises what is wrong with it: Invalid, NotFound, Unavailable."""
    with uow:
        return training_quotes.quote(uow, now, spec)


def create_job(
    uow: UnitOfWork, now: datetime, principal: Principal, spec: TrainingSpec, idempotency: Idempotency | None = None
) -> JobView:
    """Take a job in, to be run; raises as `quote_job`, Forbidden for somebody else's model name, TooLarge for one too
    many.
    """
    with uow:
        made = once(uow, principal.account_id, idempotency, now, JobView, lambda: _begin(uow, now, principal, spec))
        uow.commit()
    return made


def place_job(
    uow: UnitOfWork, now: datetime, principal: Principal, spec: TrainingSpec, idempotency: Idempotency | None = None
) -> PlacedJob:
    """The same, with the quote that the job was placed at."""

    def do() -> PlacedJob:
        return PlacedJob(training_quotes.quote(uow, now, spec), _begin(uow, now, principal, spec))

    with uow:
        placed = once(uow, principal.account_id, idempotency, now, PlacedJob, do)
        uow.commit()
    return placed


def _begin(uow: UnitOfWork, now: datetime, principal: Principal, spec: TrainingSpec) -> JobView:
    check_still_belongs(uow, principal)
    checked = training_quotes.checked(uow, now, spec, principal)
    if spec.name is not None:
        require_owner(principal, uow.models.versions([spec.name], deleted=True).get(spec.name, {}), spec.name)
    if uow.training_jobs.open_of(principal.account_id) >= JOBS_OPEN_MAX:
        raise TooLarge(
            "too many training jobs are under way",
            code="too_many_jobs",
            field="trainer",
            accepted=f"at most {JOBS_OPEN_MAX} at once",
        )
    job = TrainingJob(
        id=TrainingJobId(new_id()),
        account_id=principal.account_id,
        member_id=principal.member_id,
        trainer_model_id=checked.trainer.ref.model_id,
        spec=spec,
        state=JobState.SELECTING,
        created_at=now,
        deadline_at=now + timedelta(seconds=spec.deadline_s),
        claimed_until=now,
        weights=checked.weights,
    )
    uow.training_jobs.add(job)
    uow.emit(Event(Topic.TRAINING_CHANGED, str(job.id)))
    return JobView(job, 0, 0)


def show_job(uow: UnitOfWork, name: str, principal: Principal) -> JobView:
    """A job of the caller (admins: of anybody); raises NotFound."""
    with uow:
        return _views(uow, [_owned(uow, name, principal)])[0]


def list_jobs(uow: UnitOfWork, account: AccountId | None, limit: int = 20, after: str | None = None) -> Page:
    """Jobs of an account, or of everybody, the newest first; `after` continues a list behind a job."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    behind = None if after is None else parse_job_name(after)
    with uow:
        found = uow.training_jobs.page(account, limit + 1, behind)
        return Page(_views(uow, found[:limit]), len(found) > limit)


def cancel_job(uow: UnitOfWork, now: datetime, name: str, principal: Principal) -> JobView:
    """Let a job end: nobody is asked any more, what is under way is cut off and unpaid, the last checkpoint stays.

    Cancelling twice is once. Raises NotFound, or Conflict(`job_ended`) once its last round is over.
    """
    with uow:
        job = _owned(uow, name, principal, for_update=True)
        if not job.cancel_requested:
            if job.state in (*FINAL, JobState.EXPORTING):
                raise Conflict(
                    f"training job {name} is {job.state}", code="job_ended", field="job", accepted="a job that runs"
                )
            job = _cancelling(uow, now, job)
            if principal.role is Role.ADMIN:
                record(uow, now, principal, "training.cancel", f"{_JOB} {job.id}", account=str(job.account_id))
        [view] = _views(uow, [job])
        uow.commit()
    return view


def cancel_jobs_of(uow: UnitOfWork, now: datetime, account: AccountId, member: AccountId) -> int:
    """Let what a member of an organisation has under way end, in the caller's transaction; returns how many did."""
    open_ = uow.training_jobs.open_of_member(account, member)
    ending = [job for job in open_ if not job.cancel_requested and job.state is not JobState.EXPORTING]
    for job in ending:
        _cancelling(uow, now, job)
    return len(ending)


def _cancelling(uow: UnitOfWork, now: datetime, job: TrainingJob) -> TrainingJob:
    ending = replace(job, cancel_requested=True, claimed_until=min(job.claimed_until, now))
    move(uow, ending)
    return ending


def rounds_of(uow: UnitOfWork, name: str, principal: Principal) -> list[RoundView]:
    """The rounds of a job so far, those that failed too, by number and attempt; raises NotFound."""
    with uow:
        rounds = uow.training_rounds.of_job(_owned(uow, name, principal).id)
        ids = [round_.id for round_ in rounds]
        counts, charged = uow.training_participants.counts(ids), uow.training_participants.charged_of(ids)
    return [RoundView(round_, counts[round_.id], charged[round_.id]) for round_ in rounds]


def participants_of(uow: UnitOfWork, name: str, number: int, principal: Principal) -> list[Standing]:
    """Who took part in a round, in all of its attempts, and how that stands; raises NotFound.

    Whether their nodes are alive is as of the round's beginning.
    """
    with uow:
        rounds = uow.training_rounds.of_job(_owned(uow, name, principal).id)
        attempts = [round_ for round_ in rounds if round_.number == number]
        if not attempts:
            raise NotFound("training round", number, field="number", accepted=_numbers(rounds))
        return [one for round_ in attempts for one in uow.training_participants.standings(round_.id, round_.started_at)]


def weights_of(
    uow: UnitOfWork, objects: ObjectStore, name: str, principal: Principal, number: int | None = None
) -> tuple[WeightsRef, Iterator[bytes]]:
    """The weights after a round (0: the initial ones), else the last there are, and their bytes.

    Raises NotFound, `unknown_checkpoint` where the round has none.
    """
    with uow:
        job = _owned(uow, name, principal)
        rounds = uow.training_rounds.of_job(job.id)
    made = {round_.number: round_.weights for round_ in rounds if round_.weights is not None}
    asked = job.round if number is None else number
    try:
        found = made.get(asked) if asked else (job.weights if job.round == 0 else beginning(objects, job.id))
        if found is None:
            raise FileNotFoundError
        return found, objects.chunks(found.key)
    except FileNotFoundError:
        accepted = ", ".join(map(str, (0, *made))) if job.weights else "none yet"
        raise NotFound("checkpoint", asked, field="round", accepted=accepted) from None


def _views(uow: UnitOfWork, jobs: Sequence[TrainingJob]) -> list[JobView]:
    """How jobs stand, in a constant number of statements."""
    ids = [job.id for job in jobs]
    charged, held = uow.training_jobs.charged_of(ids), uow.training_jobs.open_nano_of(ids)
    rounds = uow.training_rounds.open_among([job.id for job in jobs if job.state not in FINAL])
    counts = uow.training_participants.counts([round_.id for round_ in rounds.values()])

    def view(job: TrainingJob) -> JobView:
        round_ = rounds.get(job.id)
        if round_ is None:
            return JobView(job, charged.get(job.id, 0), 0)
        return JobView(job, charged.get(job.id, 0), held.get(job.id, 0), counts[round_.id], round_.wanted)

    return [view(job) for job in jobs]


def _numbers(rounds: Sequence[Round]) -> str:
    return f"1 to {rounds[-1].number}" if rounds else "none: no round has begun"


def _owned(uow: UnitOfWork, name: str, principal: Principal, *, for_update: bool = False) -> TrainingJob:
    job = uow.training_jobs.find(parse_job_name(name), for_update=for_update)
    if job is None or (principal.role is not Role.ADMIN and job.account_id != principal.account_id):
        raise NotFound(_JOB, name, field="job")
    return job
