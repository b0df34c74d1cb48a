"""Training jobs on the wire, as the market tells them, and what they would cost."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.api.wire.orders import Order
from backend.api.wire.training_rounds import OpenRound, Weights
from backend.api.wire.workloads import PRIORITIES, TIERS
from backend.domain.federated.jobs import TrainingSpec
from backend.domain.federated.statements import statement
from backend.domain.federated.states import EndReason, JobState
from backend.domain.money import format_credits
from backend.domain.orders import WorkloadKind
from backend.services import training_jobs as service
from backend.services.trainers import TrainerFacts


def _enum(*values: str) -> Any:
    return Field(json_schema_extra={"enum": list(values)})


class Trainer(Answer):
    """What can be trained: code that the operator allows, on the nodes that have it and data for it."""

    name: str = Field(examples=["digits-linear"])
    description: str
    metrics: list[str] = Field(description="What its `evaluate` gives: a target is one of them.")

    @classmethod
    def of(cls, facts: TrainerFacts) -> Self:
        """The wire form of a trainer."""
        return cls(name=facts.name, description=facts.description, metrics=list(facts.metrics))


class TrainerList(Answer):
    """The trainers that there are, by name."""

    trainers: list[Trainer]


class TrainingQuote(Answer):
    """What a job would cost now; `markets` in the order in which they would be tried."""

    workload: str = WorkloadKind.TRAINING.value
    trainer: str
    tier: Annotated[str, _enum(*TIERS)]
    priority: Annotated[str, _enum(*PRIORITIES)]
    rounds: int
    participants: int
    markets: list[str] = Field(examples=[["cloud/eu-1"]])
    spot_price: Amount = Field(description="Credits per slot-second in the first market.")
    limit: Amount = Field(description="Credits per slot-second that each participant's order would bid.")
    expected_cost: Amount = Field(description="Of all rounds, at the spot price.")
    worst_case: Amount = Field(description="Of all rounds: every fit as long as `fit_s`, at the limit.")
    nodes_available: int = Field(description="Living nodes that could be asked now.")
    explanation: str = Field(description="How these figures come about.")

    @classmethod
    def of(cls, quote: service.JobQuote, spec: TrainingSpec) -> Self:
        """The wire form of a quote for `spec`."""
        return cls(
            trainer=spec.trainer,
            tier=spec.tier,
            priority=spec.priority,
            rounds=quote.rounds,
            participants=quote.participants,
            markets=list(quote.markets),
            spot_price=format_credits(quote.spot_nano_per_slot_s),
            limit=format_credits(quote.limit_nano_per_slot_s),
            expected_cost=format_credits(quote.expected_nano),
            worst_case=format_credits(quote.worst_case_nano),
            nodes_available=quote.nodes_available,
            explanation=quote.explanation,
        )


class Best(Answer):
    """The best that the job's metric was so far, and after which round."""

    metric: str
    value: float | None
    round: int | None


class TrainingJob(Answer):
    """A training job; `reason` says why it ended."""

    id: str = Field(examples=["train_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"])
    account: UUID
    state: Annotated[str, _enum(*JobState)]
    reason: str | None = Field(json_schema_extra={"enum": [*EndReason, None]})
    trainer: str
    strategy: str
    tier: str
    priority: str
    region: str | None
    rounds: int
    rounds_done: int
    participants: int
    participants_min: int
    open_round: OpenRound | None = Field(description="The round that is under way.")
    best: Best
    epsilon: float | None = Field(description="The privacy that was spent, with privacy.")
    weights: Weights | None = Field(description="The last checkpoint.")
    max_budget: Amount | None
    charged: Amount = Field(description="For accepted updates, so far.")
    held: Amount = Field(description="What the participants that are at work may still cost.")
    result_model: UUID | None = Field(description="The model that was registered: `GET /api/v1/models/by-id/{id}`.")
    result_error: str | None = Field(description="Why there is no model to serve.")
    cancelling: bool
    request: dict[str, Any] = Field(description="What was asked for: the body that begins such a job.")
    created_at: datetime
    deadline_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, view: service.JobView) -> Self:
        """The wire form of a job; for its owner and admins."""
        job, spec = view.job, view.job.spec
        return cls(
            id=service.job_name(job.id),
            account=job.account_id,
            state=job.state,
            reason=job.reason,
            trainer=spec.trainer,
            strategy=spec.strategy,
            tier=spec.tier,
            priority=spec.priority,
            region=spec.region,
            rounds=spec.rounds,
            rounds_done=job.round,
            participants=spec.participants,
            participants_min=spec.participants_min,
            open_round=None if view.counts is None else OpenRound.begun(view.counts, view.wanted or 0),
            best=Best(metric=spec.target.metric, value=job.best_value, round=job.best_round),
            epsilon=job.epsilon,
            weights=Weights.of(job.round, job.weights) if job.weights else None,
            max_budget=None if spec.max_budget_nano is None else format_credits(spec.max_budget_nano),
            charged=format_credits(view.charged_nano),
            held=format_credits(view.held_nano),
            result_model=job.result_model_id,
            result_error=job.result_error,
            cancelling=job.cancel_requested and job.ended_at is None,
            request=statement(spec),
            created_at=job.created_at,
            deadline_at=job.deadline_at,
            ended_at=job.ended_at,
        )


class TrainingJobList(Answer):
    """Jobs, newest first; `next_after` continues the list, null at its end."""

    jobs: list[TrainingJob]
    next_after: str | None

    @classmethod
    def of(cls, page: service.Page) -> Self:
        """The wire form of a page."""
        jobs = [TrainingJob.of(view) for view in page.jobs]
        return cls(jobs=jobs, next_after=jobs[-1].id if page.more else None)


class PlacedTraining(Answer):
    """A training job that was placed as a workload; orders come round by round, and none with it."""

    quote: TrainingQuote
    orders: list[Order] = Field(max_length=0)
    job: TrainingJob

    @classmethod
    def of(cls, placed: service.PlacedJob) -> Self:
        """The wire form of a placed job."""
        quote = TrainingQuote.of(placed.quote, placed.view.job.spec)
        return cls(quote=quote, orders=[], job=TrainingJob.of(placed.view))
