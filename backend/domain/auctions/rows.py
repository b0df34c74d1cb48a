"""What an auction is about, row by row: bids, asks, fills, and why somebody got nothing."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from backend.domain.ids import ModelId, NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.orders import Strategy
from backend.domain.placement import Shortfall
from backend.domain.records import record


class Unmatched(StrEnum):
    """Why an order got nothing, the nearest to success last."""

    NO_CAPACITY = "no_capacity"
    NEEDS_UNMET = "needs_unmet"
    LIMIT_BELOW_MARKET = "limit_below_market"
    NO_PRICE = "no_price"
    OUTBID = "outbid"


@record(frozen=True, slots=True)
class Miss:
    """The reason nearest to success, and what would have matched.

    `limit_nano` is the price per slot-second that a limit had to reach (the spot price: asks are sealed) or, of who was
    outbid, to exceed (the epoch's price); where too few bid or sell for a price, no limit would have matched.
    `shortfalls` is what the node that lacks least is short of.
    """

    reason: Unmatched
    limit_nano: int | None = None
    shortfalls: tuple[Shortfall, ...] = ()


@record(frozen=True, slots=True)
class Bid:
    """An open order: up to `slots` slots at `limit_nano` per slot-second or less.

    `tier` is its tier's rank (0 goes first on a tie), `share_ppm` the share that its account has of what there is
    least of, before this order and after the account's older ones (`fairness.shares_before`).
    """

    order_id: OrderId
    slots: int
    limit_nano: int
    tier: int
    placed_at: datetime
    share_ppm: int = 0
    needs: Needs = NO_NEEDS
    strategy: Strategy = Strategy.BALANCED
    model_id: ModelId | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """An open offer: `slots` free slots at `ask_nano` per slot-second or more; without a machine, a plain one.

    A node that `serves` some models runs no others; None is any.
    """

    offer_id: OfferId
    node_id: NodeId
    version: int
    slots: int
    ask_nano: int
    machine: Machine | None = field(default=None, compare=False)
    serves: frozenset[ModelId] | None = field(default=None, compare=False)


@record(frozen=True, slots=True)
class Fill:
    """`slots` slots of an offer go to an order; prices are nano-credits per slot-second.

    The buyer pays `pays_nano`, the seller earns `earns_nano` of it, and what is between them stays with the market.
    """

    order_id: OrderId
    offer_id: OfferId
    node_id: NodeId
    slots: int
    pays_nano: int
    earns_nano: int
