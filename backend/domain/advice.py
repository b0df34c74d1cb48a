"""What a quote tells beside its figures: how limit and worst case come about, and which other way would be cheaper."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.money import PPM, charge_nano, format_credits
from backend.domain.orders import LIMIT_OVER_SPOT, MarketState, WorkloadRequest
from backend.domain.pricing import EPOCH_S, Market
from backend.domain.terms import Terms
from backend.domain.tiers import Tier

QUOTE_VALID_S = 5 * EPOCH_S  # the longest for which no spot price can outgrow the default limit
SAVING_MIN_PPM = 50_000  # of the cost: less is within what a price moves by itself while one decides
USUAL_DAYS_MIN = 2  # one day is no habit


class Change(StrEnum):
    """What is to be done differently."""

    REGION = "region"
    RESOURCE_CLASS = "class"
    REGION_AND_CLASS = "region_and_class"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class UsualPrice:
    """What a market cost on average at the hour of `at` on so many of the last days; nano-credits per slot-second."""

    market: Market
    at: datetime
    days: int
    spot_nano: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cheaper way: what to change, the market and for `later` the time, what it should cost and what that saves."""

    change: Change
    market: str
    at: datetime | None
    spot_nano_per_slot_s: int
    expected_nano: int
    saving_nano: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What alternatives are compared with: where a workload would run first, and how long it should take."""

    market: MarketState
    tier: Tier
    expected_us: int

    @property
    def expected_nano(self) -> int:
        """What it should cost there at the spot price."""
        return charge_nano(self.market.spot_nano, self.expected_us)


def explain(request: WorkloadRequest, agreed: Terms, markets: Sequence[MarketState]) -> str:
    """How an order's limit and worst case come about, by spot prices only: asks and limits of others are sealed."""
    first = markets[0]
    limit, dearest = format_credits(agreed.limit_nano), max(markets, key=lambda m: m.spot_nano)
    if request.limit_nano_per_slot_s is not None:
        why = "the limit that you set"
    elif agreed.limit_nano < LIMIT_OVER_SPOT * dearest.spot_nano:
        why = "what your budget leaves per slot-second"
    else:
        where = "" if dearest is first else f" of {dearest.market}, the dearest market in question"
        why = f"{LIMIT_OVER_SPOT} times the spot price{where}"
    return (
        f"{first.market} costs {format_credits(first.spot_nano)} credits per slot-second now; the order bids up to"
        f" {limit}, {why}. Its worst case of {format_credits(agreed.worst_case_nano)} credits is that limit for the"
        " longest time that its requests may be billed; what is not used is given back."
    )


def alternatives(
    wish: Wish, markets: Iterable[MarketState], usual: Iterable[UsualPrice] = ()
) -> tuple[Alternative, ...]:
    """The cheapest other way of each kind that saves at least SAVING_MIN_PPM of the cost, the greatest saving first.

    Other regions and classes count where the tier may run and slots are free now; a later hour counts by its average
    on at least USUAL_DAYS_MIN earlier days, which is a habit of the market and no promise.
    """
    here = wish.market.market
    ways = [
        _way(wish, _change(here, state.market), state.market, None, state.spot_nano)
        for state in markets
        if state.market != here and state.free_slots > 0 and state.market.resource_class in wish.tier.classes
    ]
    ways += [
        _way(wish, Change.LATER, here, price.at, price.spot_nano)
        for price in usual
        if price.market == here and price.days >= USUAL_DAYS_MIN
    ]
    worth = [way for way in ways if way.saving_nano * PPM >= max(1, wish.expected_nano * SAVING_MIN_PPM)]
    best: dict[Change, Alternative] = {}
    for way in sorted(worth, key=lambda way: (way.expected_nano, way.spot_nano_per_slot_s, way.market)):
        best.setdefault(way.change, way)
    return tuple(best.values())


def _change(here: Market, there: Market) -> Change:
    if there.resource_class == here.resource_class:
        return Change.REGION
    return Change.RESOURCE_CLASS if there.region == here.region else Change.REGION_AND_CLASS


def _way(wish: Wish, change: Change, market: Market, at: datetime | None, spot_nano: int) -> Alternative:
    cost = charge_nano(spot_nano, wish.expected_us)
    return Alternative(change, str(market), at, spot_nano, cost, wish.expected_nano - cost)
