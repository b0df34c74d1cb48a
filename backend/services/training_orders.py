"""Participants as orders: what one asks of the market, and placing any number of them at once.

All of it inside a unit of work in which the job's row is locked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.errors import BudgetExceeded, InsufficientFunds, SwarmexError
from backend.domain.federated.jobs import PrivacyMode, TrainingSpec
from backend.domain.federated.progress import affordable
from backend.domain.federated.states import ParticipantState
from backend.domain.federated.strategies import strategy_named
from backend.domain.federated.tasks import LocalPrivacy, LocalTask
from backend.domain.ids import NodeId, ParticipantId
from backend.domain.machines import Needs
from backend.domain.money import US_PER_S
from backend.domain.orders import WorkloadKind, WorkloadRequest
from backend.domain.pricing import Market
from backend.domain.registry import TRAINER_PREFIX
from backend.domain.work import PROFILE_FACTOR
from backend.services.placement import Catalogue, Plan, catalogue, place, plan
from backend.services.training_terms import FIT_PATIENCE_S, fit_us_max, needed_nano
from backend.storage.ids import new_id
from backend.storage.order_rows import Order
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_nodes import CandidateNode, TrainingNode
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


def request_of(spec: TrainingSpec, deadline_s: int, task: bytes, needs: Needs, us_max: int) -> WorkloadRequest:
    """The order of one participant: one slot, for as long as a fit is paid for at most (`fit_us_max`)."""
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
        fit_us_max=us_max,
        fit_us_expected=us_max // PROFILE_FACTOR,
    )


def ask(
    uow: UnitOfWork, now: datetime, job: TrainingJob, round_: Round, nodes: Sequence[CandidateNode], least: int
) -> Asked | None:
    """Ask these nodes to take part, as many as the job's budget pays for; None if that is fewer than `least`.

    Orders, participants and what the job knows of the nodes are recorded in a constant number of statements.
    """
    known = dict(uow.training_nodes.of_job(job.id))
    fresh = [node.node_id for node in nodes if node.node_id not in known]
    known |= {node: TrainingNode(job.id, node, number) for number, node in enumerate(fresh, len(known))}
    deadline_s = max(1, int((round_.deadline_at - now).total_seconds()))
    task = task_of(job, round_)
    requests = {node.node_id: _request(job, task, deadline_s, known[node.node_id]) for node in nodes}
    plans = _plans(uow, now, job, requests, {node.node_id: node.market for node in nodes}, least)
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


def _request(job: TrainingJob, task: LocalTask, deadline_s: int, node: TrainingNode) -> WorkloadRequest:
    """What a job asks of one node in a round."""
    us_max = fit_us_max(job.spec, node.fit_us)
    own = replace(
        task,
        seed=seed_of(task.seed, task.round, node.partition),
        partition=node.partition % task.partitions,
        seconds_max=min(task.seconds_max, -(-us_max // US_PER_S) + FIT_PATIENCE_S),
    )
    needs = Needs(only=(node.node_id,), trust_min_ppm=job.spec.trust_min_ppm)
    return request_of(job.spec, deadline_s, own.wire(), needs, us_max)


def _plans(
    uow: UnitOfWork,
    now: datetime,
    job: TrainingJob,
    requests: Mapping[NodeId, WorkloadRequest],
    markets: Mapping[NodeId, Market],
    least: int,
) -> dict[NodeId, Plan | SwarmexError] | None:
    """A plan per node within the budget, or why there is none; None where it pays for fewer than `least`.

    Each may cost an equal share of what is left of the budget at most.
    """
    market = catalogue(uow, now, list(requests.values()))
    free = {node: _plan(request, market) for node, request in requests.items()}
    if job.spec.max_budget_nano is None:
        return free
    costs = {
        node: needed_nano(planned, _spot_nano(planned, markets[node]))
        for node, planned in free.items()
        if isinstance(planned, Plan)
    }
    if not costs:
        return free
    charged, held = uow.training_jobs.charged_of([job.id]), uow.training_jobs.open_nano_of([job.id])
    left_nano = job.spec.max_budget_nano - charged.get(job.id, 0) - held.get(job.id, 0)
    count = affordable(left_nano, costs.values(), least)
    if count == 0:
        return None
    cheapest = set(sorted(costs, key=costs.__getitem__)[:count])
    capped = {node: replace(requests[node], max_budget_nano=left_nano // count) for node in costs if node in cheapest}
    return {node: _plan(request, market) for node, request in capped.items()}


def _spot_nano(planned: Plan, market: Market) -> int:
    """The price where a participant would be leased; of all that it may go to the lowest, should that be gone."""
    spots = {state.market: state.spot_nano for state in planned.markets}
    return spots.get(market, min(spots.values()))


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
