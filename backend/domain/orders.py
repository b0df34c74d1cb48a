"""Orders: what a workload asks of the market, what it may cost at worst, and which markets may serve it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from backend.domain.errors import Invalid, Unavailable, unknown_choice
from backend.domain.money import US_PER_S, charge_nano, format_credits
from backend.domain.pricing import Market
from backend.domain.tiers import TIERS, ResourceClass, Tier

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
SESSION = "session"  # the kind of an order behind real-time requests: placed by the gateway only


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
    LIMIT_BELOW_MARKET = "limit_below_market"
    OUTBID = "outbid"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    SESSION_IDLE = "session_idle"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NODE_LOST = "node_lost"
    WINDOW_ENDED = "window_ended"
    HOLD_EXPIRED = "hold_expired"


_FINAL: Mapping[CloseReason, OrderState] = {
    CloseReason.CANCELLED_BY_USER: OrderState.CANCELLED,
    CloseReason.DEADLINE_PASSED: OrderState.EXPIRED,
    CloseReason.NO_CAPACITY: OrderState.EXPIRED,
    CloseReason.LIMIT_BELOW_MARKET: OrderState.EXPIRED,
    CloseReason.OUTBID: OrderState.EXPIRED,
    CloseReason.HOLD_EXPIRED: OrderState.EXPIRED,
    CloseReason.ATTEMPTS_EXHAUSTED: OrderState.FAILED,
}


def final_state(reason: CloseReason | None) -> OrderState:
    """The state in which an order with this reason ends; sessions that end by themselves are settled."""
    return _FINAL.get(reason, OrderState.SETTLED) if reason else OrderState.SETTLED


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    """A workload as its user states it, money already in nano-credits; `requests` are protocol bodies."""

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
    if request.workload not in OFFERED:
        raise Invalid(
            f"{request.workload} is not offered yet",
            code="workload_not_offered",
            field="workload",
            accepted=", ".join(OFFERED),
        )
    if request.priority not in [strategy.value for strategy in Strategy]:
        raise unknown_choice("priority", request.priority, [strategy.value for strategy in Strategy])
    _check_range("slots", request.slots, 1, tier.slots_max)
    _check_range("deadline_s", request.deadline_s, 0, DEADLINE_S_MAX)
    requests_max = 1 if request.workload == WorkloadKind.INFERENCE else ITEMS_PER_ORDER_MAX
    _check_range("requests", len(request.requests), 1, requests_max)
    if request.participants is not None:
        raise Invalid(
            "participants belong to training",
            code="not_applicable",
            field="participants",
            accepted="leave it out",
        )
    if request.sla_required:
        raise Invalid("no SLA is offered yet", code="sla_not_offered", field="sla_required", accepted="false")
    return Strategy(request.priority)


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Invalid(
            f"{field} {value} is out of range",
            code=f"invalid_{field}",
            field=field,
            accepted=f"{low} to {high}",
        )


def candidates(tier: Tier, strategy: Strategy, region: str | None, markets: Sequence[MarketState]) -> list[MarketState]:
    """The markets that may serve an order, best first by its strategy; raises Unavailable(`no_capacity`) for none."""
    eligible = [m for m in markets if m.market.resource_class in tier.classes and region in (None, m.market.region)]
    if not eligible:
        raise _no_capacity(tier, region, markets)
    strength = list(ResourceClass)

    def class_rank(market: Market) -> int:
        if strategy is Strategy.COST:
            return 0
        if strategy is Strategy.LATENCY:
            return -strength.index(ResourceClass(market.resource_class))
        return tier.classes.index(ResourceClass(market.resource_class))

    return sorted(eligible, key=lambda m: (m.slots == 0, class_rank(m.market), m.spot_nano, m.market))


def _no_capacity(tier: Tier, region: str | None, markets: Sequence[MarketState]) -> Unavailable:
    """Says which regions have machines for the tier or, where none has, which tiers the region has machines for."""
    regions = {m.market.region for m in markets if m.market.resource_class in tier.classes}
    here = {m.market.resource_class for m in markets if region in (None, m.market.region)}
    tiers = [t.name for t in TIERS.values() if here.intersection(t.classes)]
    return Unavailable(
        f"no node of class {' or '.join(tier.classes)} is registered" + (f" in region {region}" if region else ""),
        code="no_capacity",
        field="region" if regions else "tier",
        accepted=", ".join(sorted(regions) or tiers) or "nothing until a provider joins",
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order will be placed at: its limit, what it can cost at worst, and what it should cost at spot."""

    limit_nano: int
    worst_case_nano: int
    expected_nano: int


def terms(
    request: WorkloadRequest,
    tier: Tier,
    markets: Sequence[MarketState],
    us_max: Sequence[int],
    us_expected: int,
) -> Terms:
    """Limit and costs of an order whose items may be billed `us_max` microseconds each, on its candidate markets.

    Without a limit of its own an order bids LIMIT_OVER_SPOT times the dearest candidate's spot price, or what its
    budget allows. Raises Invalid with `limit_below_market`, `budget_too_low` or `above_tier_cap`.
    """
    spot = min(m.spot_nano for m in _living(markets))
    limit = request.limit_nano_per_slot_s
    if limit is None:
        limit = LIMIT_OVER_SPOT * max(m.spot_nano for m in markets)
        if request.max_budget_nano is not None:
            affordable = (request.max_budget_nano - len(us_max)) * US_PER_S // sum(us_max)
            limit = min(limit, affordable)
    worst = worst_case_nano(limit, us_max) if limit > 0 else 0
    if limit <= 0 or nobody_sells(limit, markets):
        needed = worst_case_nano(spot, us_max) + len(us_max)
        if request.limit_nano_per_slot_s is None and (request.max_budget_nano or needed) < needed:
            raise _budget_error(needed)
        raise limit_error("limit", markets)
    if request.max_budget_nano is not None and worst > request.max_budget_nano:
        raise _budget_error(worst)
    if worst > tier.request_cap_nano:
        raise Invalid(
            f"the worst case of {format_credits(worst)} credits is above the cap of tier {tier.name}",
            code="above_tier_cap",
            field="limit" if request.limit_nano_per_slot_s else "requests",
            accepted=f"a worst case of at most {format_credits(tier.request_cap_nano)} credits",
        )
    return Terms(limit, worst, charge_nano(spot, us_expected))


def nobody_sells(limit_nano: int, markets: Sequence[MarketState]) -> bool:
    """Whether a limit is below every ask of these markets; without any ask nobody can say."""
    asks = [market.lowest_ask_nano for market in markets if market.lowest_ask_nano is not None]
    return bool(asks) and limit_nano < min(asks)


def limit_error(field: str, markets: Sequence[MarketState]) -> Invalid:
    """The refusal of a limit below every ask; it speaks of the spot price, since asks are sealed."""
    spot = format_credits(min(market.spot_nano for market in _living(markets)))
    return Invalid(
        "nobody sells at this limit",
        code="limit_below_market",
        field=field,
        accepted=f"{spot} credits per slot-second is the spot price now",
    )


def _living(markets: Sequence[MarketState]) -> Sequence[MarketState]:
    """Markets with a living node or, if there are none, all: a price where nobody sells is no quote."""
    return [market for market in markets if market.slots] or markets


def _budget_error(needed_nano: int) -> Invalid:
    return Invalid(
        "the budget does not cover the worst case",
        code="budget_too_low",
        field="max_budget",
        accepted=f"at least {format_credits(needed_nano)} credits now",
    )


def worst_case_nano(limit_nano: int, us_max: Sequence[int]) -> int:
    """What items cost at most; rounded per item as their charges are, so that a hold always covers them."""
    return sum(charge_nano(limit_nano, us) for us in us_max)
