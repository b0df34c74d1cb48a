"""Quotes, orders, receipts and results on the wire."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

import orjson
from pydantic import Field, SkipValidation, ValidationError

from backend.api.validation import problem
from backend.api.wire.base import Amount, Answer, Wire
from backend.api.wire.errors import Problem
from backend.api.wire.workloads import Workload
from backend.domain.advice import Alternative as AnotherWay
from backend.domain.advice import Change
from backend.domain.errors import SwarmexError
from backend.domain.money import format_credits
from backend.domain.orders import ORDERS_PER_BATCH_MAX, WorkloadRequest
from backend.services import orders as service
from backend.storage.order_rows import Order as StoredOrder
from backend.storage.work_rows import Item as StoredItem


class Batch(Wire):
    """Many workloads at once; each is placed or refused by itself."""

    orders: Annotated[list[SkipValidation[Workload]], Field(max_length=ORDERS_PER_BATCH_MAX, min_length=1)]

    def requests(self) -> list[WorkloadRequest | SwarmexError]:
        """The workloads, read one by one: what cannot be read is an error in its place."""
        return [_read(raw) for raw in self.orders]


class Alternative(Answer):
    """A cheaper way: the market or time to change to, what it should cost there, and what that saves."""

    change: str = Field(json_schema_extra={"enum": [change.value for change in Change]})
    market: str = Field(examples=["fog/eu-2"])
    at: datetime | None = Field(description="When; null for now. What later prices were is a habit, no promise.")
    spot_price: Amount
    expected_cost: Amount
    saving: Amount

    @classmethod
    def of(cls, other: AnotherWay) -> Self:
        """The wire form of an alternative."""
        return cls(
            change=other.change,
            market=other.market,
            at=other.at,
            spot_price=format_credits(other.spot_nano_per_slot_s),
            expected_cost=format_credits(other.expected_nano),
            saving=format_credits(other.saving_nano),
        )


class Quote(Answer):
    """What a workload would be placed at now; `markets` in the order in which they would be tried."""

    workload: str
    model: str
    model_version: int
    tier: str
    priority: str
    markets: list[str] = Field(examples=[["cloud/eu-1"]])
    spot_price: Amount = Field(description="Credits per slot-second in the first market.")
    limit: Amount = Field(description="Credits per slot-second that the order would bid.")
    expected_seconds: float
    expected_cost: Amount
    worst_case: Amount = Field(description="What would be held, and can never be exceeded.")
    slots_free: int
    valid_until: datetime | None = Field(description="Until then no spot price outgrows the default limit.")
    explanation: str = Field(description="How limit and worst case come about.")
    alternatives: list[Alternative] = Field(description="Cheaper ways, the cheapest first; empty once it is placed.")

    @classmethod
    def of(cls, quote: service.Quote) -> Self:
        """The wire form of a quote."""
        return cls(
            workload=quote.workload,
            model=quote.model,
            model_version=quote.model_version,
            tier=quote.tier,
            priority=quote.priority,
            markets=list(quote.markets),
            spot_price=format_credits(quote.spot_nano_per_slot_s),
            limit=format_credits(quote.limit_nano_per_slot_s),
            expected_seconds=quote.expected_us / 1_000_000,
            expected_cost=format_credits(quote.expected_nano),
            worst_case=format_credits(quote.worst_case_nano),
            slots_free=quote.slots_free,
            valid_until=quote.valid_until,
            explanation=quote.explanation,
            alternatives=[Alternative.of(other) for other in quote.alternatives],
        )


class Order(Answer):
    """An order; `reason` says why it waits, or why it ended otherwise than by being served in full."""

    id: UUID
    account: UUID
    workload: str
    model_id: UUID
    tier: str
    priority: str
    resource_class: str
    region: str
    slots: int
    limit: Amount
    worst_case: Amount
    charged: Amount
    state: str
    reason: str | None
    placed_at: datetime
    deadline_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    needs: dict[str, Any] = Field(
        description="What each node that serves it must have; empty for nothing.", examples=[{"gpu_memory_mb": 16_384}]
    )
    interruptible: bool = Field(description="Whether it may lose its slots to other orders.")
    sla_required: bool
    private: bool = Field(default=False, description="Whether its requests and answers are sealed.")
    would_match: dict[str, Any] | None = Field(
        description="What would have matched it in its last auction: the limit to bid, or the needs that were not met;"
        " `kept_free` is the node that empties for it.",
        examples=[{"needs": [{"need": "gpu_memory_mb", "wanted": "81920", "best": "24576"}]}],
    )
    trace_id: str | None = Field(
        default=None, description="The trace of the request that placed it, and of all that was done for it since."
    )

    @classmethod
    def of(cls, order: StoredOrder) -> Self:
        """The wire form of an order; for its owner and admins, since limits are sealed."""
        return cls(
            id=order.id,
            account=order.account_id,
            workload=order.workload,
            model_id=order.model_id,
            tier=order.tier,
            priority=order.strategy,
            resource_class=order.resource_class,
            region=order.region,
            slots=order.slots,
            limit=format_credits(order.limit_nano_per_slot_s),
            worst_case=format_credits(order.worst_case_nano),
            charged=format_credits(order.charged_nano),
            state=order.state,
            reason=order.reason,
            placed_at=order.placed_at,
            deadline_at=order.deadline_at,
            started_at=order.started_at,
            closed_at=order.closed_at,
            needs=order.needs,
            interruptible=order.interruptible,
            sla_required=order.sla,
            private=order.private,
            would_match=order.hint,
            trace_id=order.trace_id,
        )


class PlacedWorkload(Answer):
    """The quote that a workload was placed at, and its orders."""

    quote: Quote
    orders: list[Order]

    @classmethod
    def of(cls, placed: service.PlacedWorkload) -> Self:
        """The wire form of a placed workload."""
        return cls(quote=Quote.of(placed.quote), orders=[Order.of(order) for order in placed.orders])


class Outcome(Answer):
    """What became of one order of a batch: exactly one of the two is set."""

    index: int
    order: Order | None = None
    error: Problem | None = None


class PlacedBatch(Answer):
    """One outcome per order asked for, in order."""

    results: list[Outcome]

    @classmethod
    def of(cls, placed: service.PlacedBatch) -> Self:
        """The wire form of a placed batch."""
        return cls(results=[_outcome(index, result) for index, result in enumerate(placed.results)])


class OrderList(Answer):
    """Orders, newest first; `next_before` continues the list, None at its end."""

    orders: list[Order]
    next_before: UUID | None


class Result(Answer):
    """One request of an order, with its protocol response once it ran."""

    id: UUID
    index: int
    rows: int
    state: str
    attempt: int
    node: str | None
    committed_at: datetime | None
    billed_seconds: float | None
    charged: Amount | None
    error: str | None
    response: dict[str, Any] | None

    @classmethod
    def of(cls, item: StoredItem) -> Self:
        """The wire form of an item."""
        return cls(
            id=item.id,
            index=item.seq,
            rows=item.rows,
            state=item.state,
            attempt=item.attempt,
            node=item.node_name,
            committed_at=item.committed_at,
            billed_seconds=None if item.billed_us is None else item.billed_us / 1_000_000,
            charged=None if item.charged_nano is None else format_credits(item.charged_nano),
            error=item.error,
            response=None if item.outputs is None else orjson.loads(item.outputs),
        )


def _read(raw: object) -> WorkloadRequest | SwarmexError:
    try:
        return Workload.model_validate(raw).request()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return problem({**first, "loc": ("body", *first["loc"])})
    except SwarmexError as error:
        return error


def _outcome(index: int, result: StoredOrder | service.Refusal) -> Outcome:
    if isinstance(result, StoredOrder):
        return Outcome(index=index, order=Order.of(result))
    problem = Problem(code=result.code, message=result.message, field=result.field, accepted=result.accepted)
    return Outcome(index=index, error=problem)
