"""Participants as orders: what one asks of the market, and placing any number of them at once.

All of it inside a unit of work in which the job's row is locked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.errors import BudgetExceeded, InsufficientFunds, Invalid, SwarmexError
from backend.domain.federated.jobs import PrivacyMode, TrainingSpec
from backend.domain.federated.progress import affordable
from backend.domain.federated.states import ParticipantState
from backend.domain.federated.strategies import strategy_named
from backend.domain.federated.tasks import LocalPrivacy, LocalTask
from backend.domain.ids import NodeId, ParticipantId
from backend.domain.machines import Needs
from backend.domain.money import US_PER_S, format_credits
from backend.domain.orders import WorkloadKind, WorkloadRequest
from backend.domain.registry import TRAINER_PREFIX
from backend.domain.terms import worst_case_nano
from backend.domain.work import PROFILE_FACTOR
from backend.services.placement import Catalogue, Plan, catalogue, place, plan
from backend.storage.ids import new_id
from backend.storage.order_rows import Order
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_nodes import TrainingNode
from backend.storage.training_participants import Participant
from backend.storage.training_rounds import Round
from backend.storage.unit_of_work import UnitOfWork

SEED_BYTES = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, and why the others were not."""

    participants: list[Participant]
    refused: list[SwarmexError]
    within_budget: bool = True  # or the job's budget paid for fewer than were to be asked

    @property
    def short_of_funds(self) -> bool:
        """Whether anybody was not asked since wallet or account's budgets do not cover it."""
        return any(isinstance(error, InsufficientFunds | BudgetExceeded) for error in self.refused)


def request_of(spec: TrainingSpec, deadline_s: int, task: bytes, needs: Needs) -> WorkloadRequest:
    """The order of one participant: one slot, for as long as a fit may take at most."""
    return WorkloadRequest(
        workload=WorkloadKind.TRAINING,
        model=TRAINER_PREFIX + spec.trainer,
        tier=spec.tier,
        requests=(),
        priority=spec.priority,
        limit_nano_per_slot_s=spec.limit_nano_per_slot_s,
        region=spec.region,
        deadline_s=deadline_s,
        needs=needs,
        local_task=task,
        fit_us_max=spec.fit_s * US_PER_S,
        fit_us_expected=spec.fit_s * US_PER_S // PROFILE_FACTOR,
    )


def cheapest_nano(planned: Plan) -> int:
    """The worst case of one participant at the lowest limit that can be expected to trade, in nano-credits."""
    limit = planned.request.limit_nano_per_slot_s or min(state.spot_nano for state in planned.markets)
    return worst_case_nano(limit, [payload.us_max for payload in planned.payloads])


def affordable_of(uow: UnitOfWork, job: TrainingJob, planned: Plan, wanted: int, least: int) -> tuple[int, int | None]:
    """How many more participants what is left of a job's budget pays for at worst, 0 if not even `least`; and what
    each of them may cost then (None: whatever its limit makes of it). `planned` is one of them, without a budget.
    """
    if job.spec.max_budget_nano is None:
        return wanted, None
    spent = uow.training_jobs.charged_of([job.id]).get(job.id, 0) + uow.training_jobs.open_nano_of(job.id)
    left = job.spec.max_budget_nano - spent
    count = affordable(left, wanted, least, cheapest_nano(planned))
    return count, left // count if count else None


def ask(
    uow: UnitOfWork, now: datetime, job: TrainingJob, round_: Round, nodes: Sequence[NodeId], least: int
) -> Asked | None:
    """Ask these nodes to take part, as many as the job's budget pays for; None if that is fewer than `least`.

    Orders, participants and what the job knows of the nodes are recorded in a constant number of statements.
    """
    known = dict(uow.training_nodes.of_job(job.id))
    fresh = [node for node in nodes if node not in known]
    known |= {node: TrainingNode(job.id, node, number) for number, node in enumerate(fresh, len(known))}
    deadline_s = max(1, int((round_.deadline_at - now).total_seconds()))
    task = task_of(job, round_)
    requests = {
        node: request_of(
            job.spec,
            deadline_s,
            replace(task, seed=seed_of(task.seed, task.round, number), partition=number % task.partitions).wire(),
            Needs(only=(node,), trust_min_ppm=job.spec.trust_min_ppm),
        )
        for node, number in ((node, known[node].partition) for node in nodes)
    }
    plans = _plans(uow, now, job, requests, least)
    if plans is None:
        return None
    outcomes = place(uow, now, job.spender, list(plans.values()))
    asked = {node: outcome for node, outcome in zip(plans, outcomes, strict=True) if isinstance(outcome, Order)}
    participants = [
        Participant(ParticipantId(new_id()), round_.id, job.id, node, order.id, ParticipantState.ASKED, now)
        for node, order in asked.items()
    ]
    uow.training_nodes.add([known[node] for node in fresh])
    uow.training_nodes.write([replace(known[node], asked=known[node].asked + 1) for node in asked])
    refused = [outcome for outcome in outcomes if isinstance(outcome, SwarmexError)]
    return Asked(participants, refused, len(plans) == len(nodes))


def _plans(
    uow: UnitOfWork, now: datetime, job: TrainingJob, requests: Mapping[NodeId, WorkloadRequest], least: int
) -> dict[NodeId, Plan | SwarmexError] | None:
    """A plan per node within the budget, or why there is none; None where it pays for fewer than `least`."""
    market = catalogue(uow, now, list(requests.values()))
    free = {node: _plan(request, market) for node, request in requests.items()}
    ready = [one for one in free.values() if isinstance(one, Plan)]
    if not ready or job.spec.max_budget_nano is None:
        return free
    count, cap = affordable_of(uow, job, ready[0], len(ready), least)
    if count == 0:
        return None
    able = [node for node, one in free.items() if isinstance(one, Plan)][:count]
    return {node: _plan(replace(requests[node], max_budget_nano=cap), market) for node in able}


def _plan(request: WorkloadRequest, market: Catalogue) -> Plan | SwarmexError:
    try:
        return plan(request, market)
    except SwarmexError as error:
        return error


def task_of(job: TrainingJob, round_: Round) -> LocalTask:
    """What every node is asked in a round, but for its seed, which is the job's here, and its share of the data."""
    spec, weights = job.spec, job.weights
    assert weights is not None
    return LocalTask(
        job_id=job.id,
        round=round_.number,
        trainer=spec.trainer,
        weights=weights,
        local_epochs=spec.local_epochs,
        batch_size=spec.batch_size,
        seconds_max=spec.fit_s,
        seed=spec.seed,
        partition=0,
        partitions=spec.participants,
        proximal_mu=strategy_named(spec.strategy, spec.strategy_options).proximal_mu,
        privacy=_local_privacy(spec),
        config=spec.config,
    )


def _local_privacy(spec: TrainingSpec) -> LocalPrivacy | None:
    """Updates are clipped where they are made in both modes: what leaves a node is bounded, whoever adds the noise."""
    if spec.privacy is None:
        return None
    local = spec.privacy.mode == PrivacyMode.LOCAL
    return LocalPrivacy(spec.privacy.clip, spec.privacy.noise_multiplier * spec.privacy.clip if local else 0.0)


def seed_of(seed: int, number: int, partition: int) -> int:
    """A participant's own seed, of 31 bits."""
    digest = hashlib.sha256(f"{seed} {number} {partition}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES]) >> 1


def check_affordable(spec: TrainingSpec, planned: Plan) -> None:
    """Raise Invalid(`budget_too_low`) unless the budget pays for one round with a quorum, at worst."""
    needed = cheapest_nano(planned) * spec.participants_min
    if spec.max_budget_nano is not None and spec.max_budget_nano < needed:
        raise Invalid(
            "the budget does not cover one round at worst",
            code="budget_too_low",
            field="max_budget",
            accepted=f"at least {format_credits(needed)} credits now",
        )
