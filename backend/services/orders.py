"""Orders: quote, place one or many, look, cancel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.access import Principal, Role
from backend.domain.advice import QUOTE_VALID_S, Alternative, explain
from backend.domain.errors import Conflict, Invalid, NotFound, SwarmexError, TooLarge
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, OrderId
from backend.domain.orders import (
    ORDERS_PER_BATCH_MAX,
    REQUESTS,
    SESSION,
    CloseReason,
    OrderState,
    WorkloadKind,
    WorkloadRequest,
)
from backend.services.advice import advise
from backend.services.idempotency import once
from backend.services.log import record
from backend.services.placement import Plan, catalogue, place, plan
from backend.services.settlement import close
from backend.storage.contention import patient
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500
_CANCELLABLE = (OrderState.OPEN, OrderState.RUNNING)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a workload would be placed at now; nano-credits, microseconds of slot time.

    Until `valid_until` no spot price outgrows the default limit. Alternatives come only with a quote that is asked for.
    """

    workload: str
    model: str
    model_version: int
    tier: str
    priority: str
    markets: tuple[str, ...]
    spot_nano_per_slot_s: int
    limit_nano_per_slot_s: int
    expected_us: int
    expected_nano: int
    worst_case_nano: int
    slots_free: int
    valid_until: datetime | None = None  # these three are not in answers that were stored before there were any
    explanation: str = ""
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order of a batch was not placed."""

    code: str
    message: str
    field: str | None
    accepted: str | None


@dataclass(frozen=True, slots=True)
class PlacedBatch:
    """One outcome per order asked for, in order."""

    results: list[Order | Refusal]


@dataclass(frozen=True, slots=True)
class PlacedWorkload:
    """The quote that a workload was placed at, and its orders."""

    quote: Quote
    orders: list[Order]


def quote(uow: UnitOfWork, now: datetime, request: WorkloadRequest) -> Quote:
    """What a workload would cost and where it would run; writes nothing, raises what is wrong with it."""
    with uow:
        known = catalogue(uow, now, [request])
        ready = plan(request, known)
        return _quote(ready, now, advise(uow, now, ready, known))


@patient
def place_workload(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    request: WorkloadRequest,
    idempotency: Idempotency | None = None,
) -> PlacedWorkload:
    """Place a workload of any kind; raises the reason why it cannot be."""

    def do() -> PlacedWorkload:
        ready = plan(request, catalogue(uow, now, [request]))
        [order] = place(uow, now, principal.spender, [ready])
        if isinstance(order, SwarmexError):
            raise order
        return PlacedWorkload(_quote(ready, now), [order])

    with uow:
        placed = once(uow, principal.account_id, idempotency, now, PlacedWorkload, do)
        uow.commit()
    return placed


@patient
def place_orders(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    requests: Sequence[WorkloadRequest | SwarmexError],
    idempotency: Idempotency | None = None,
) -> PlacedBatch:
    """Place up to ORDERS_PER_BATCH_MAX orders in a constant number of statements; each is placed or refused by itself.

    A request that could not even be read comes as its error, and takes its place among the outcomes.
    """
    if not 1 <= len(requests) <= ORDERS_PER_BATCH_MAX:
        raise TooLarge(
            f"{len(requests)} orders in one batch",
            code="invalid_batch_size",
            field="orders",
            accepted=f"1 to {ORDERS_PER_BATCH_MAX}",
        )

    def do() -> PlacedBatch:
        known = catalogue(uow, now, [r for r in requests if isinstance(r, WorkloadRequest)])
        plans: list[Plan | SwarmexError] = []
        for request in requests:
            try:
                plans.append(plan(request, known) if isinstance(request, WorkloadRequest) else request)
            except SwarmexError as error:
                plans.append(error)
        outcomes = place(uow, now, principal.spender, plans)
        return PlacedBatch([o if isinstance(o, Order) else _refusal(o) for o in outcomes])

    with uow:
        placed = once(uow, principal.account_id, idempotency, now, PlacedBatch, do)
        uow.commit()
    return placed


def show_order(uow: UnitOfWork, order_id: OrderId, principal: Principal) -> Order:
    """An order of the caller (admins: any); raises NotFound."""
    with uow:
        return owned_order(uow, order_id, principal)


def list_orders(
    uow: UnitOfWork,
    account_id: AccountId | None,
    state: str | None = None,
    limit: int = 100,
    before: OrderId | None = None,
) -> list[Order]:
    """The newest orders of an account, or of everybody; `before` continues a list below its last id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if state is not None and state not in [s.value for s in OrderState]:
        raise Invalid("no such state", code="invalid_state", field="state", accepted=", ".join(OrderState))
    with uow:
        return uow.orders.newest(account_id, OrderState(state) if state else None, limit, before)


@patient
def cancel_order(uow: UnitOfWork, now: datetime, order_id: OrderId, principal: Principal) -> Order:
    """Stop an order: what ran is charged, the rest of its hold released, all in this transaction.

    Cancelling twice is once. Raises NotFound, Conflict(`order_closed`) when it had ended otherwise, or
    Conflict(`part_of_a_job`).
    """
    with uow:
        order = owned_order(uow, order_id, principal, for_update=True)
        if order.state is OrderState.CANCELLED:
            return order
        if order.workload == WorkloadKind.TRAINING:  # its round decides what becomes of it, and is decided with it
            raise Conflict(
                f"order {order_id} is a participant of a training job",
                code="part_of_a_job",
                field="order",
                accepted="the job itself: `swarmex train cancel JOB`",
            )
        if order.state not in _CANCELLABLE or order.workload in (SESSION, REQUESTS):
            raise Conflict(
                f"order {order_id} is {order.state}",
                code="order_closed",
                field="order",
                accepted="an open order",
            )
        uow.work.cancel([order_id])
        uow.orders.begin_close([(order_id, CloseReason.CANCELLED_BY_USER)])
        close(uow, now, [order_id])
        cancelled = owned_order(uow, order_id, principal)
        if principal.role is Role.ADMIN:  # what owners do themselves, their orders tell
            record(uow, now, principal, "order.cancel", f"order {order_id}", account=order.account_id)
        uow.commit()
    return cancelled


def owned_order(uow: UnitOfWork, order_id: OrderId, principal: Principal, *, for_update: bool = False) -> Order:
    """The caller's order, inside an open unit of work; raises NotFound."""
    order = uow.orders.find(order_id, for_update=for_update)
    if order is None:
        raise NotFound("order", order_id)
    principal.require_owner(order.account_id, "order", order_id)
    return order


def _quote(ready: Plan, now: datetime, alternatives: tuple[Alternative, ...] = ()) -> Quote:
    return Quote(
        ready.request.workload,
        ready.model.ref.name,
        ready.model.ref.version,
        ready.tier.name,
        ready.strategy,
        tuple(str(state.market) for state in ready.markets),
        ready.markets[0].spot_nano,
        ready.terms.limit_nano,
        ready.expected_us,
        ready.terms.expected_nano,
        ready.terms.worst_case_nano,
        sum(state.free_slots for state in ready.markets),
        now + timedelta(seconds=QUOTE_VALID_S),
        explain(ready.request, ready.terms, ready.markets),
        alternatives,
    )


def _refusal(error: SwarmexError) -> Refusal:
    return Refusal(error.code, error.message, error.field, error.accepted)
