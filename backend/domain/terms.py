"""At which terms an order is placed: its limit, what it can cost at worst, what it should cost; and their refusals."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.errors import Invalid
from backend.domain.money import US_PER_S, charge_nano, format_credits
from backend.domain.orders import LIMIT_OVER_SPOT, MarketState, WorkloadRequest
from backend.domain.tiers import Tier

SPOT_OVER_LIMIT_MAX = 2  # a spot price that moves by an eighth an epoch takes longer than a quote lasts to fall by more


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
    """Limit and costs of an order whose items may be billed `us_max` microseconds each, on its candidates, best first.

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
    if limit <= 0 or out_of_reach(limit, markets):
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
    return Terms(limit, worst, charge_nano(_living(markets)[0].spot_nano, us_expected))


def out_of_reach(limit_nano: int, markets: Sequence[MarketState]) -> bool:
    """Whether a limit is far below the spot price of every market in which somebody sells; without any nobody can say.

    Asks are sealed: a refusal that depended on them would tell them to whoever tries limit after limit.
    """
    spots = [market.spot_nano for market in markets if market.lowest_ask_nano is not None]
    return bool(spots) and limit_nano * SPOT_OVER_LIMIT_MAX < min(spots)


def limit_error(field: str, markets: Sequence[MarketState]) -> Invalid:
    """The refusal of a limit that is out of reach."""
    spot = format_credits(min(market.spot_nano for market in _living(markets)))
    return Invalid(
        "the limit is below half of the price",
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
