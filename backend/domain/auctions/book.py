"""What an auction sees and what it says: bids, asks, fills, and a reason for everyone who got nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from backend.domain.ids import NodeId, OfferId, OrderId


class Unmatched(StrEnum):
    """Why an order got nothing, the nearest to success last."""

    NO_CAPACITY = "no_capacity"
    LIMIT_BELOW_MARKET = "limit_below_market"
    OUTBID = "outbid"


@dataclass(frozen=True, slots=True)
class Bid:
    """An open order: up to `slots` slots at `limit_nano` per slot-second or less; lower `rank` goes first on a tie."""

    order_id: OrderId
    slots: int
    limit_nano: int
    rank: int
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """An open offer: `slots` free slots at `ask_nano` per slot-second or more."""

    offer_id: OfferId
    node_id: NodeId
    version: int
    slots: int
    ask_nano: int


@dataclass(frozen=True, slots=True)
class Book:
    """All bids and asks of one market at one moment, and its spot price."""

    bids: Sequence[Bid]
    asks: Sequence[Ask]
    spot_nano: int

    def digest(self) -> bytes:
        """SHA-256 of the book in canonical order: published at once, so that nobody can rewrite it later."""
        bids = sorted(
            (str(b.order_id), b.slots, b.limit_nano, b.rank, b.placed_at.astimezone(UTC).isoformat()) for b in self.bids
        )
        asks = sorted((str(a.offer_id), str(a.node_id), a.version, a.slots, a.ask_nano) for a in self.asks)
        return hashlib.sha256(json.dumps([self.spot_nano, bids, asks]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Fill:
    """`slots` slots of an offer go to an order at the clearing price."""

    bid: Bid
    ask: Ask
    slots: int
    price_nano: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """The outcome of an auction; `price_nano` is None when nothing traded."""

    price_nano: int | None
    fills: tuple[Fill, ...] = ()
    unmatched: dict[OrderId, Unmatched] = field(default_factory=dict)
