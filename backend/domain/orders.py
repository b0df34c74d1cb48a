"""Orders: what a workload asks of the market, what it may cost at worst, and which markets may serve it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from backend.domain.errors import Invalid, Unavailable, unknown_choice
from backend.domain.machines import NO_NEEDS, Needs, check_needs
from backend.domain.pricing import Market
from backend.domain.private_envelope import Envelope
from backend.domain.tiers import ResourceClass, Tier, TierName
from backend.domain.webhooks import check_webhook

ORDERS_PER_BATCH_MAX = 1_000
ITEMS_PER_ORDER_MAX = 500
DEADLINE_S_DEFAULT = 60
DEADLINE_S_MAX = 86_400
LIMIT_OVER_SPOT = 2  # the default limit: room for one doubling of the price while the order waits


class WorkloadKind(StrEnum):
    """What users ask for."""

    INFERENCE = "inference"
    BATCH = "batch"
    TRAINING = "training"


OFFERED = (WorkloadKind.INFERENCE, WorkloadKind.BATCH)
SLA_TIERS = (TierName.MEDIUM, TierName.LARGE, TierName.ENTERPRISE)
SESSION = "session"  # the kind of an order behind real-time requests: placed by the gateway only
REQUESTS = "requests"  # the kind of an order behind real-time requests that share leases: an allowance, as well


class Strategy(StrEnum):
    """What an order prefers among the markets that could serve it (`priority` on the wire)."""

    COST = "cost"
    BALANCED = "balanced"
    LATENCY = "latency"


class OrderState(StrEnum):
    """`closing` is decided but not yet settled; the last four are final."""

    OPEN = "open"
    RUNNING = "running"
    CLOSING = "closing"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class CloseReason(StrEnum):
    """Why an order ended otherwise than by being served in full."""

    CANCELLED_BY_USER = "cancelled_by_user"
    DEADLINE_PASSED = "deadline_passed"
    NO_CAPACITY = "no_capacity"
    NEEDS_UNMET = "needs_unmet"
    LIMIT_BELOW_MARKET = "limit_below_market"
    NO_PRICE = "no_price"
    OUTBID = "outbid"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    SESSION_IDLE = "session_idle"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NODE_LOST = "node_lost"
    WINDOW_ENDED = "window_ended"
    HOLD_EXPIRED = "hold_expired"
    NO_VERIFIED_KEY = "no_verified_key"  # left: those that a private order is sealed to do not serve any more
    GATEWAY_LOST = "gateway_lost"
    ROUND_ENDED = "round_ended"  # of training: what it was placed for is judged, or not needed any more


_FINAL: Mapping[CloseReason, OrderState] = {
    CloseReason.CANCELLED_BY_USER: OrderState.CANCELLED,
    CloseReason.DEADLINE_PASSED: OrderState.EXPIRED,
    CloseReason.NO_CAPACITY: OrderState.EXPIRED,
    CloseReason.NEEDS_UNMET: OrderState.EXPIRED,
    CloseReason.LIMIT_BELOW_MARKET: OrderState.EXPIRED,
    CloseReason.NO_PRICE: OrderState.EXPIRED,
    CloseReason.OUTBID: OrderState.EXPIRED,
    CloseReason.HOLD_EXPIRED: OrderState.EXPIRED,
    CloseReason.ATTEMPTS_EXHAUSTED: OrderState.FAILED,
    CloseReason.NO_VERIFIED_KEY: OrderState.FAILED,
}


def final_state(reason: CloseReason | None) -> OrderState:
    """The state in which an order with this reason ends; sessions that end by themselves are settled."""
    return _FINAL.get(reason, OrderState.SETTLED) if reason else OrderState.SETTLED


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    """A workload as its user states it, money already in nano-credits; `requests` are protocol bodies.

    With `failover` other regions may serve it when the named one cannot; without a region any may anyhow. An
    `interruptible` one may lose its slots to others, its work then waits again. A `private` one has no requests that
    anybody but its recipients can read. One of training has a `local_task` instead, as its node gets it, which may
    take `fit_us_max` microseconds of a slot and should take `fit_us_expected`: training jobs place them, nobody else.
    """

    workload: str
    model: str
    tier: str
    requests: Sequence[Mapping[str, Any]]
    priority: str = Strategy.BALANCED
    max_budget_nano: int | None = None
    limit_nano_per_slot_s: int | None = None
    region: str | None = None
    slots: int = 1
    deadline_s: int = DEADLINE_S_DEFAULT
    participants: int | None = None
    sla_required: bool = False
    model_version: int | None = None
    needs: Needs = NO_NEEDS
    interruptible: bool = False
    failover: bool = False
    webhook: str | None = None  # who is told of its end
    private: Envelope | None = None
    local_task: bytes | None = None
    fit_us_max: int | None = None
    fit_us_expected: int | None = None


@dataclass(frozen=True, slots=True)
class MarketState:
    """A market as a placement sees it; slots and asks of living nodes only."""

    market: Market
    spot_nano: int
    slots: int
    free_slots: int
    lowest_ask_nano: int | None


def check_request(request: WorkloadRequest, tier: Tier) -> Strategy:
    """Refuse what can never be served, with the field's name; returns the strategy."""
    if request.workload not in [kind.value for kind in WorkloadKind]:
        raise unknown_choice("workload", request.workload, [kind.value for kind in OFFERED])
    if request.workload not in OFFERED and request.local_task is None:
        raise Invalid(
            f"{request.workload} is no order of its own",
            code="workload_not_offered",
            field="workload",
            accepted=f"{', '.join(OFFERED)}; training: POST /api/v1/training-jobs",
        )
    if request.priority not in [strategy.value for strategy in Strategy]:
        raise unknown_choice("priority", request.priority, [strategy.value for strategy in Strategy])
    _check_range("slots", request.slots, 1, tier.slots_max)
    _check_range("deadline_s", request.deadline_s, 0, DEADLINE_S_MAX)
    if request.local_task is None:
        requests_max = 1 if request.workload == WorkloadKind.INFERENCE else ITEMS_PER_ORDER_MAX
        count = len(request.requests) if request.private is None else len(request.private.items)
        _check_range("requests", count, 1, requests_max)
    if request.needs is not NO_NEEDS:
        check_needs(request.needs)
    if request.webhook is not None:
        check_webhook(request.webhook, "webhook")
    if request.participants is not None:
        raise Invalid(
            "participants belong to training",
            code="not_applicable",
            field="participants",
            accepted="leave it out",
        )
    if request.sla_required and request.interruptible:
        raise Invalid(
            "work that may be interrupted cannot be promised",
            code="contradictory_order",
            field="interruptible",
            accepted="false where sla_required is true",
        )
    if request.sla_required:
        check_sla_offered(tier.name, "sla_required")
    return Strategy(request.priority)


def check_sla_offered(tier: TierName, field: str) -> None:
    """Refuse an SLA where there is none; `field` is what asked for it."""
    if tier not in SLA_TIERS:
        raise Invalid(
            f"tier {tier} has no SLA",
            code="sla_not_offered",
            field=field,
            accepted=f"false, or one of the tiers {', '.join(SLA_TIERS)}",
        )


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Invalid(
            f"{field} {value} is out of range",
            code=f"invalid_{field}",
            field=field,
            accepted=f"{low} to {high}",
        )


def candidates(
    tier: Tier,
    strategy: Strategy,
    region: str | None,
    markets: Sequence[MarketState],
    tiers: Iterable[Tier],
    *,
    failover: bool = False,
) -> list[MarketState]:
    """The markets that may serve an order, best first by its strategy; raises Unavailable(`no_capacity`) for none.

    With `failover` those of other regions come after those of the named one, or before them if nothing lives there.
    `tiers` are all as they are now, for the refusal to name those that could be served.
    """
    eligible = [
        m
        for m in markets
        if m.market.resource_class in tier.classes and (failover or region in (None, m.market.region))
    ]
    if not eligible:
        raise _no_capacity(tier, region, markets, tiers)
    strength = list(ResourceClass)

    def class_rank(market: Market) -> int:
        if strategy is Strategy.COST:
            return 0
        if strategy is Strategy.LATENCY:
            return -strength.index(ResourceClass(market.resource_class))
        return tier.classes.index(ResourceClass(market.resource_class))

    def rank(m: MarketState) -> tuple[bool, bool, int, int, Market]:
        elsewhere = region not in (None, m.market.region)
        return (m.slots == 0, elsewhere, class_rank(m.market), m.spot_nano, m.market)

    return sorted(eligible, key=rank)


def _no_capacity(tier: Tier, region: str | None, markets: Sequence[MarketState], tiers: Iterable[Tier]) -> Unavailable:
    """Says which regions have machines for the tier or, where none has, which tiers the region has machines for."""
    regions = {m.market.region for m in markets if m.market.resource_class in tier.classes}
    here = {m.market.resource_class for m in markets if region in (None, m.market.region)}
    served = [t.name for t in tiers if here.intersection(t.classes)]
    return Unavailable(
        f"no node of class {' or '.join(tier.classes)} is registered" + (f" in region {region}" if region else ""),
        code="no_capacity",
        field="region" if regions else "tier",
        accepted=", ".join(sorted(regions) or served) or "nothing until a provider joins",
    )
