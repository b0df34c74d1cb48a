"""What a training job would cost, and whether it can be one at all."""

import json
from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid
from backend.domain.federated.jobs import PREFIX, PrivacyMode, TrainingSpec, check_spec
from backend.domain.federated.strategies import STRATEGIES, strategy_named
from backend.domain.federated.tasks import MARK, WeightsRef
from backend.domain.files import parse_name
from backend.domain.ids import TrainingJobId
from backend.domain.machines import Needs
from backend.domain.money import format_credits
from backend.domain.registry import check_model_name, split_reference
from backend.services.models import choose
from backend.services.placement import Plan, catalogue, plan
from backend.services.trainers import trainer_model
from backend.services.training_orders import request_of
from backend.services.training_selecting import CANDIDATES_MAX
from backend.services.training_terms import check_affordable, fit_us_max
from backend.storage.models import Model
from backend.storage.unit_of_work import UnitOfWork

TASK_SAMPLE = MARK + b"{}}"  # a task as long as it takes to be planned with
LOSS_ONLY = ("loss",)  # all that is told of a trainer whose metrics nobody described


@dataclass(frozen=True, slots=True)
class JobQuote:
    """What a job would cost now in all of its rounds; nano-credits. Markets are those of a participant, best first.

    The worst case is that of every fit as long as it may be, at the limit, and never above the job's budget.
    """

    rounds: int
    participants: int
    expected_nano: int
    worst_case_nano: int
    markets: tuple[str, ...]
    spot_nano_per_slot_s: int
    limit_nano_per_slot_s: int
    nodes_available: int
    explanation: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A job that can be one: its trainer's row, the plan of one participant, and the weights that it goes on from."""

    trainer: Model
    planned: Plan
    weights: WeightsRef | None


def checked(uow: UnitOfWork, now: datetime, spec: TrainingSpec, principal: Principal | None = None) -> Checked:
    """Check a job against what there is, inside an open unit of work; without a principal, whoever it may be for.

    Raises Invalid, NotFound for its trainer or model, Unavailable where no node could ever take part now.
    """
    check_spec(spec)
    _check_strategy(spec)
    trainer = trainer_model(uow, spec.trainer)
    _check_metric(spec, trainer)
    if spec.name is not None:
        check_model_name(spec.name)
    weights = None if spec.model is None else _weights_behind(uow, spec, spec.model, principal)
    needs = Needs(trust_min_ppm=spec.trust_min_ppm)
    request = request_of(spec, spec.round_s, TASK_SAMPLE, needs, fit_us_max(spec, None))
    planned = plan(request, catalogue(uow, now, [request]))
    check_affordable(spec, planned)
    return Checked(trainer, planned, weights)


def quote(uow: UnitOfWork, now: datetime, spec: TrainingSpec) -> JobQuote:
    """What a job would cost, inside an open unit of work; raises as `checked`."""
    planned = checked(uow, now, spec).planned
    count = spec.rounds * spec.participants
    worst = count * planned.terms.worst_case_nano
    classes = planned.tier.classes
    nodes = uow.training_nodes.candidates(classes, spec.region, spec.trust_min_ppm, now, CANDIDATES_MAX)
    first = next((state for state in planned.markets if state.slots), planned.markets[0])
    return JobQuote(
        rounds=spec.rounds,
        participants=spec.participants,
        expected_nano=_within(spec, count * planned.terms.expected_nano),
        worst_case_nano=_within(spec, worst),
        markets=tuple(str(state.market) for state in planned.markets),
        spot_nano_per_slot_s=first.spot_nano,
        limit_nano_per_slot_s=planned.terms.limit_nano,
        nodes_available=len(nodes),
        explanation=_explained(spec, planned, worst, len(nodes)),
    )


def _within(spec: TrainingSpec, nano: int) -> int:
    return nano if spec.max_budget_nano is None else min(nano, spec.max_budget_nano)


def _explained(spec: TrainingSpec, planned: Plan, worst_nano: int, nodes: int) -> str:
    said = (
        f"{spec.rounds} rounds of {spec.participants} participants; each of them may be billed for {spec.fit_s} s of"
        f" one slot at up to {format_credits(planned.terms.limit_nano)} credits per slot-second, and should take half"
        " of that at the spot price. Only accepted updates are charged, by the seconds that they took."
    )
    if spec.max_budget_nano is not None and worst_nano > spec.max_budget_nano:
        said += f" The job ends when {format_credits(spec.max_budget_nano)} credits do not pay for another round."
    if nodes < spec.participants_min:
        said += f" Only {nodes} nodes could take part now: a round waits for {spec.participants_min}."
    elif nodes < spec.participants:
        said += f" Only {nodes} nodes could take part now: rounds will have fewer participants."
    return said


def _check_strategy(spec: TrainingSpec) -> None:
    strategy = strategy_named(spec.strategy, spec.strategy_options)
    least = strategy.participants_min
    if spec.participants_min < least:
        raise Invalid(
            f"{spec.strategy} needs at least {least} updates",
            code="too_few_participants",
            field="participants_min",
            accepted=f"{least} to {spec.participants}" if least <= spec.participants else f"{least}, of as many asked",
        )
    if spec.privacy and spec.privacy.mode == PrivacyMode.CENTRAL and not strategy.takes_central_privacy:
        raise Invalid(
            f"{spec.strategy} does not bound what one participant can do to its result",
            code="invalid_privacy",
            field="privacy.mode",
            accepted=f"{PrivacyMode.LOCAL}, or a strategy that averages:"
            f" {', '.join(name for name, kind in STRATEGIES.items() if kind.averages)}",
        )


def _check_metric(spec: TrainingSpec, trainer: Model) -> None:
    told = tuple(json.loads(trainer.tags["metrics"]))  # as `trainers.announce` writes them
    if told != LOSS_ONLY and spec.target.metric not in told:
        raise Invalid(
            f"{spec.trainer} gives no metric {spec.target.metric}",
            code="invalid_metric",
            field="target.metric",
            accepted=", ".join(told),
        )


def _weights_behind(uow: UnitOfWork, spec: TrainingSpec, reference: str, principal: Principal | None) -> WeightsRef:
    """The weights that the job behind a registered model ended with, if it is the caller's and has that trainer."""
    model = choose(uow.models.versions([split_reference(reference)[0]]), reference, None)
    name = model.tags.get("training_job")
    job = None if name is None else uow.training_jobs.find(TrainingJobId(parse_name(name, PREFIX, "training job")))
    theirs = principal is not None and principal.role is not Role.ADMIN and principal.account_id
    if job is None or job.weights is None or job.spec.trainer != spec.trainer or (theirs and job.account_id != theirs):
        raise Invalid(
            f"no job of yours with the trainer {spec.trainer} made {reference}",
            code="not_trained_here",
            field="model",
            accepted="a model that a training job of your own with the same trainer registered; or leave it out",
        )
    return job.weights
