"""Training jobs: quoted, begun, looked at round by round, cancelled, and the weights that they made."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.training import TrainingRequest
from backend.api.wire.training_jobs import TrainingJob, TrainingJobList, TrainingQuote
from backend.api.wire.training_rounds import ParticipantList, RoundList
from backend.domain.access import Role
from backend.domain.errors import NotFound
from backend.domain.federated.jobs import ROUNDS_MAX
from backend.domain.registry import parse_version
from backend.services import training_jobs

router = APIRouter(prefix="/api/v1/training-jobs", tags=["training"])


@router.post("", status_code=201)
def create_job(body: TrainingRequest, caller: Anyone, once: Once, market: Market, now: Now) -> TrainingJob:
    """Begin a training job; nothing is held before its participants are asked, and only accepted updates are paid."""
    return TrainingJob.of(training_jobs.create_job(market.uow(), now, caller, body.spec(), once))


@router.post("/quote")
def quote_job(body: TrainingRequest, _: Anyone, market: Market, now: Now) -> TrainingQuote:
    """Where a job would run and what it would cost, or the reason why it cannot be; nothing is written."""
    return TrainingQuote.of(training_jobs.quote_job(market.uow(), now, body.spec()), body.spec())


@router.get("")
def list_jobs(
    caller: Anyone,
    market: Market,
    limit: Annotated[int, Query(ge=1, le=training_jobs.LIST_MAX)] = 20,
    after: Text | None = None,
) -> TrainingJobList:
    """The caller's jobs, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    return TrainingJobList.of(training_jobs.list_jobs(market.uow(), account, limit, after))


@router.get("/{job_id}")
def show_job(job_id: Text, caller: Anyone, market: Market) -> TrainingJob:
    """One job: how far it is, how good, and what it cost so far."""
    return TrainingJob.of(training_jobs.show_job(market.uow(), job_id, caller))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: Text, caller: Anyone, market: Market, now: Now) -> TrainingJob:
    """Let a job end: what is at work stops unpaid, and the last weights stay."""
    return TrainingJob.of(training_jobs.cancel_job(market.uow(), now, job_id, caller))


@router.get("/{job_id}/rounds")
def list_rounds(job_id: Text, caller: Anyone, market: Market) -> RoundList:
    """The rounds of a job in order, with what came of each and what it cost."""
    return RoundList.of(training_jobs.rounds_of(market.uow(), job_id, caller))


@router.get("/{job_id}/rounds/{number}/participants")
def list_participants(job_id: Text, number: Text, caller: Anyone, market: Market) -> ParticipantList:
    """Who took part in a round, in all of its attempts, and why an update was not taken."""
    return ParticipantList.of(training_jobs.participants_of(market.uow(), job_id, _number(number), caller))


@router.get("/{job_id}/weights", response_class=StreamingResponse)
def read_weights(
    job_id: Text, caller: Anyone, market: Market, round: Annotated[int | None, Query(ge=0, le=ROUNDS_MAX)] = None
) -> StreamingResponse:
    """The weights after a round (0: the initial ones), else the last, as safetensors; `Swarmex-Checksum`: SHA-256."""
    ref, chunks = training_jobs.weights_of(market.uow(), market.objects, job_id, caller, round)
    told = {"Swarmex-Checksum": ref.sha256, "Content-Length": str(ref.size_bytes)}
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=told)


def _number(text: str) -> int:
    number = parse_version(text)
    if number is None:
        raise NotFound("training round", text[:60], field="number")
    return number
