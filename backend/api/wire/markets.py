"""Price history, depth, books and rules of markets on the wire."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Credits, Number, Text, Wire
from backend.domain.auctions import MECHANISMS
from backend.domain.depth import PARTIES_MIN
from backend.domain.depth import Band as SealedBand
from backend.domain.market_rules import TARGET_PPM_MAX, TARGET_PPM_MIN, MarketRule, RuleChange
from backend.domain.money import PPM, format_credits
from backend.domain.pricing import Cause
from backend.domain.pricing import PricePoint as StoredPoint
from backend.domain.tiers import ResourceClass
from backend.services.depth import MarketBook, MarketDepth
from backend.storage.depth import BookOffer, BookOrder

ClassName = Annotated[Text, Field(json_schema_extra={"enum": [name.value for name in ResourceClass]})]


class PricePoint(Answer):
    """A market's spot price as one epoch set it, with what it followed and why."""

    resource_class: str
    region: str
    at: datetime
    spot_price: Amount = Field(description="Credits per slot-second.")
    utilisation: float = Field(ge=0, examples=[0.25])
    slots: int
    busy_slots: int
    cause: str = Field(json_schema_extra={"enum": [cause.told for cause in Cause]})

    @classmethod
    def of(cls, point: StoredPoint) -> Self:
        """The wire form of a point."""
        return cls(
            resource_class=point.market.resource_class,
            region=point.market.region,
            at=point.at,
            spot_price=format_credits(point.spot_nano_per_slot_s),
            utilisation=point.utilisation_ppm / PPM,
            slots=point.slots,
            busy_slots=point.busy_slots,
            cause=point.cause.told,
        )


class Band(Answer):
    """Slots quoted above one multiple of the spot price and up to another; a bound that is null is none."""

    above: float | None
    up_to: float | None
    slots: int | None = Field(description=f"Null where fewer than {PARTIES_MIN} accounts quote.")
    fewer_than_3: bool

    @classmethod
    def of(cls, band: SealedBand) -> Self:
        """The wire form of a band."""
        above = None if band.above_ppm is None else band.above_ppm / PPM
        up_to = None if band.up_to_ppm is None else band.up_to_ppm / PPM
        return cls(above=above, up_to=up_to, slots=band.slots, fewer_than_3=band.slots is None)


class Depth(Answer):
    """A market's free slots by what is asked for them, and the slots that orders wait for by what they would pay."""

    resource_class: str
    region: str
    spot_price: Amount
    slots_free: int
    free: list[Band]
    waiting: list[Band]

    @classmethod
    def of(cls, depth: MarketDepth) -> Self:
        """The wire form of a market's depth."""
        return cls(
            resource_class=depth.market.resource_class,
            region=depth.market.region,
            spot_price=format_credits(depth.spot_nano_per_slot_s),
            slots_free=depth.slots_free,
            free=[Band.of(band) for band in depth.free],
            waiting=[Band.of(band) for band in depth.waiting],
        )


class OpenOrder(Answer):
    """An open order with its limit; for admins only."""

    resource_class: str
    region: str
    order: UUID
    account: UUID
    tier: str
    workload: str
    slots: int
    limit: Amount
    placed_at: datetime

    @classmethod
    def of(cls, order: BookOrder) -> Self:
        """The wire form of an open order."""
        return cls(
            resource_class=order.market.resource_class,
            region=order.market.region,
            order=order.id,
            account=order.account_id,
            tier=order.tier,
            workload=order.workload,
            slots=order.slots,
            limit=format_credits(order.limit_nano),
            placed_at=order.placed_at,
        )


class OpenOffer(Answer):
    """An open offer with its ask; for admins only."""

    resource_class: str
    region: str
    offer: UUID
    account: UUID
    node: UUID
    node_name: str
    version: int
    slots_free: int
    ask: Amount
    offered_at: datetime

    @classmethod
    def of(cls, offer: BookOffer) -> Self:
        """The wire form of an open offer."""
        return cls(
            resource_class=offer.market.resource_class,
            region=offer.market.region,
            offer=offer.id,
            account=offer.account_id,
            node=offer.node_id,
            node_name=offer.node,
            version=offer.version,
            slots_free=offer.slots_free,
            ask=format_credits(offer.ask_nano),
            offered_at=offer.offered_at,
        )


class Book(Answer):
    """Open orders, highest limit first, and open offers, lowest ask first; `complete` unless either was cut off."""

    orders: list[OpenOrder]
    offers: list[OpenOffer]
    complete: bool

    @classmethod
    def of(cls, book: MarketBook) -> Self:
        """The wire form of a book."""
        return cls(
            orders=[OpenOrder.of(order) for order in book.orders],
            offers=[OpenOffer.of(offer) for offer in book.offers],
            complete=book.complete,
        )


class NewRule(Wire):
    """What is to change about a market's rules; what is left out stays as it is."""

    resource_class: ClassName
    region: Text
    mechanism: Annotated[Text, Field(json_schema_extra={"enum": list(MECHANISMS)})] | None = None
    floor: Credits | None = None
    cap: Credits | None = None
    target_ppm: Number | None = Field(None, description=f"{TARGET_PPM_MIN} to {TARGET_PPM_MAX}.", examples=[700_000])

    def change(self) -> RuleChange:
        """What is to change."""
        return RuleChange(self.mechanism, self.floor, self.cap, self.target_ppm)


class Rule(Answer):
    """How a market clears, and what its spot price is held to; `own` is false for the defaults."""

    resource_class: str
    region: str
    mechanism: str
    floor: Amount
    cap: Amount
    target_ppm: int
    own: bool

    @classmethod
    def of(cls, rule: MarketRule) -> Self:
        """The wire form of a market's rules."""
        return cls(
            resource_class=rule.market.resource_class,
            region=rule.market.region,
            mechanism=rule.mechanism,
            floor=format_credits(rule.control.floor_nano),
            cap=format_credits(rule.control.cap_nano),
            target_ppm=rule.control.target_ppm,
            own=rule.own,
        )
