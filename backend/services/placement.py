"""From what users ask to orders with a hold: quoting, and placing any number of orders in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import orjson

from backend.domain.access import Spender
from backend.domain.budgets import BudgetPeriod
from backend.domain.errors import SwarmexError, TooLarge, Unavailable
from backend.domain.events import Event, Topic
from backend.domain.ids import HoldId, ItemId, OrderId
from backend.domain.orders import (
    MarketState,
    OrderState,
    Strategy,
    WorkloadKind,
    WorkloadRequest,
    candidates,
    check_request,
)
from backend.domain.regions import Links, within_reach
from backend.domain.tensors import parse_request, rows_of
from backend.domain.terms import Terms, terms
from backend.domain.tiers import Tier, TierName, parse_tier
from backend.domain.work import PAYLOAD_BYTES_MAX
from backend.messaging.tracing import carried
from backend.services.escrow import Need, reserve
from backend.services.models import choose
from backend.services.private_orders import Keys, confined, keys_for, sealed_inputs
from backend.services.stock import NO_STOCK, Stock, stock_for, suitable_first
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork
from backend.storage.work_rows import NewItem

JOBS = (WorkloadKind.BATCH, WorkloadKind.TRAINING)  # whose orders are counted against budgets of a job


@dataclass(frozen=True, slots=True)
class Payload:
    """One checked request of a workload, as its executor will get it, and the slot time that it should take."""

    rows: int
    us_max: int
    inputs: bytes
    us_expected: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload that can be placed: where it may run, at which terms, and what will run."""

    request: WorkloadRequest
    tier: Tier
    strategy: Strategy
    model: Model
    markets: list[MarketState]
    terms: Terms
    fee_ppm: int
    payloads: list[Payload]

    @property
    def expected_us(self) -> int:
        """Slot time that the work should take."""
        return sum(payload.us_expected for payload in self.payloads)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What plans are made against: models, markets, the tiers and their fees as they are now."""

    models: dict[str, dict[int, Model]]
    markets: list[MarketState]
    fees_ppm: Mapping[TierName, int]
    tiers: Mapping[TierName, Tier]
    stock: Stock = NO_STOCK
    links: Mapping[str, Links] = field(default_factory=dict)
    sealing_keys: Keys = field(default_factory=dict)


def catalogue(uow: UnitOfWork, now: datetime, requests: Sequence[WorkloadRequest]) -> Catalogue:
    """Read what these requests need, in four statements however many they are.

    One more if any has hard needs, one if any may leave its region, and one if any is private.
    """
    homes = {request.region for request in requests if request.failover and request.region}
    return Catalogue(
        uow.models.versions({request.model for request in requests}),
        uow.markets.states(now),
        uow.fees.current(now),
        uow.tiers.current(now),
        stock_for(uow, now, requests),
        uow.regions.links_from(homes) if homes else {},
        keys_for(uow, requests),
    )


def plan(request: WorkloadRequest, known: Catalogue, rows: Sequence[int] | None = None) -> Plan:
    """Check a workload against what there is; raises what is wrong with it, and touches nothing.

    `rows` are those of requests that were checked before against the same version of their model.
    """
    tier = known.tiers[parse_tier(request.tier)]
    request = confined(request, known.sealing_keys)
    strategy = check_request(request, tier)
    model = choose(known.models, request.model, request.model_version, trainer=request.local_task is not None)
    payloads = _payloads_of(request, model, known, rows)
    markets = candidates(tier, strategy, request.region, known.markets, known.tiers.values(), failover=request.failover)
    if request.failover and request.region:
        markets, needs = within_reach(request.region, markets, strategy, request.needs, known.links[request.region])
        request = replace(request, needs=needs)
    markets = suitable_first(request, tier.slots_max, markets, known.stock)
    if request.deadline_s == 0 and not any(m.free_slots for m in markets):
        raise Unavailable(
            "every slot is taken",
            code="no_capacity",
            field="deadline_s",
            accepted="a deadline in which to wait",
        )
    expected_us = sum(payload.us_expected for payload in payloads)
    agreed = terms(request, tier, markets, [payload.us_max for payload in payloads], expected_us)
    return Plan(request, tier, strategy, model, markets, agreed, known.fees_ppm[tier.name], payloads)


def _payloads_of(request: WorkloadRequest, model: Model, known: Catalogue, rows: Sequence[int] | None) -> list[Payload]:
    if request.local_task is not None:
        return [_fit(request, request.local_task)]
    if request.private is not None:
        return _sealed(request, model, known)
    return [
        _payload(body, index, request, model, None if rows is None else rows[index])
        for index, body in enumerate(request.requests)
    ]


def _fit(request: WorkloadRequest, local_task: bytes) -> Payload:
    """A participant's part in a round: how long that takes is the trainer's, so nothing is profiled."""
    assert request.fit_us_max is not None
    assert request.fit_us_expected is not None
    _check_size(local_task, "config")
    return Payload(1, request.fit_us_max, local_task, request.fit_us_expected)


def _sealed(request: WorkloadRequest, model: Model, known: Catalogue) -> list[Payload]:
    """What nobody here can check: nodes do, by what they open. The rows are as stated; a node refuses others."""
    payloads = []
    for index, (rows, inputs) in enumerate(sealed_inputs(request, known.sealing_keys)):
        _check_size(inputs, f"private.items[{index}].ciphertext")
        payloads.append(_profiled(model, rows, inputs))
    return payloads


def _payload(
    body: Mapping[str, object], index: int, request: WorkloadRequest, model: Model, rows: int | None
) -> Payload:
    signature = model.ref.signature
    try:
        rows = rows_of(parse_request(body, signature), signature) if rows is None else rows
    except SwarmexError as error:
        if len(request.requests) > 1:
            error.field = f"requests[{index}].{error.field}"
        raise
    inputs = orjson.dumps({"inputs": body["inputs"]})
    _check_size(inputs, "inputs")
    return _profiled(model, rows, inputs)


def _profiled(model: Model, rows: int, inputs: bytes) -> Payload:
    return Payload(rows, model.profile.worst_case_us(rows), inputs, model.profile.expected_us(rows))


def _check_size(inputs: bytes, field: str) -> None:
    if len(inputs) > PAYLOAD_BYTES_MAX:
        raise TooLarge("the inputs are too large", field=field, accepted=f"at most {PAYLOAD_BYTES_MAX} bytes each")


def place(
    uow: UnitOfWork, now: datetime, spender: Spender, plans: Sequence[Plan | SwarmexError]
) -> list[Order | SwarmexError]:
    """Reserve the worst case of every plan and record its order, inside an open unit of work that the caller commits.

    One outcome per plan, in order: a plan that was an error, or that budget or wallet do not cover, writes nothing.
    """
    trace = carried()  # of the request: all that its orders cause belongs to it
    drafts = [p if isinstance(p, SwarmexError) else _draft(p, spender, now, trace) for p in plans]
    orders = [draft for draft in drafts if isinstance(draft, Order)]
    outcomes = reserve(uow, now, [need_of(order) for order in orders])
    refused = {order.id: error for order, error in zip(orders, outcomes, strict=True) if error}
    placed = [order for order in orders if order.id not in refused]
    uow.orders.add(placed)
    uow.work.add(_items(plans, drafts, refused))
    uow.private_orders.add(
        [
            (draft.id, recipient.key_id)
            for plan, draft in zip(plans, drafts, strict=True)
            if isinstance(plan, Plan) and isinstance(draft, Order) and plan.request.private and draft.id not in refused
            for recipient in plan.request.private.recipients
        ]
    )
    uow.order_webhooks.add(
        [
            (draft.id, draft.account_id, plan.request.webhook)
            for plan, draft in zip(plans, drafts, strict=True)
            if isinstance(plan, Plan) and isinstance(draft, Order) and plan.request.webhook and draft.id not in refused
        ]
    )
    for market in {order.market for order in placed}:
        uow.emit(Event(Topic.ORDERS_PLACED, str(market)))
    return [refused.get(draft.id, draft) if isinstance(draft, Order) else draft for draft in drafts]


def need_of(order: Order, amount_nano: int | None = None) -> Need:
    """What an order may cost (its worst case, if no amount is given) until its deadline; but for one request it is of
    a job.
    """
    kind = BudgetPeriod.JOB if order.workload in JOBS else BudgetPeriod.REQUEST
    amount = order.worst_case_nano if amount_nano is None else amount_nano
    return Need(order.spender, order.hold_id, amount, order.deadline_at, order.tier, kind)


def _draft(plan: Plan, spender: Spender, now: datetime, traceparent: str | None) -> Order:
    first = plan.markets[0].market
    return Order(
        id=OrderId(new_id()),
        account_id=spender.account_id,
        member_id=spender.member_id,
        workload=plan.request.workload,
        model_id=plan.model.ref.model_id,
        tier=plan.tier.name,
        strategy=plan.strategy,
        resource_class=first.resource_class,
        region=first.region,
        markets=[str(state.market) for state in plan.markets],
        slots=plan.request.slots,
        limit_nano_per_slot_s=plan.terms.limit_nano,
        worst_case_nano=plan.terms.worst_case_nano,
        fee_ppm=plan.fee_ppm,
        hold_id=HoldId(new_id()),
        state=OrderState.OPEN,
        reason=None,
        charged_nano=0,
        placed_at=now,
        deadline_at=now + timedelta(seconds=plan.request.deadline_s),
        needs=plan.request.needs.wire(),
        interruptible=plan.request.interruptible,
        sla=plan.request.sla_required,
        traceparent=traceparent,
        private=plan.request.private is not None,
    )


def _items(
    plans: Sequence[Plan | SwarmexError],
    drafts: Sequence[Order | SwarmexError],
    refused: Mapping[OrderId, SwarmexError],
) -> list[NewItem]:
    return [
        NewItem(ItemId(new_id()), draft.id, seq, payload.rows, payload.us_max, payload.inputs, judged)
        for plan, draft in zip(plans, drafts, strict=True)
        if isinstance(plan, Plan) and isinstance(draft, Order) and draft.id not in refused
        for judged in [plan.request.local_task is not None]
        for seq, payload in enumerate(plan.payloads)
    ]
