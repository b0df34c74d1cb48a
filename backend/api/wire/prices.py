"""Market prices on the wire."""

from typing import Self

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.domain.money import format_credits
from backend.services.markets import MarketView


class Price(Answer):
    """A market now: its spot price and what is free."""

    resource_class: str
    region: str
    spot_price: Amount = Field(description="Credits per slot-second.")
    utilisation: float = Field(ge=0, le=1, examples=[0.25])
    slots_free: int
    slots: int
    nodes: int

    @classmethod
    def of(cls, view: MarketView) -> Self:
        """The wire form of a market."""
        return cls(
            resource_class=view.resource_class,
            region=view.region,
            spot_price=format_credits(view.spot_nano_per_slot_s),
            utilisation=view.utilisation_ppm / 1_000_000,
            slots_free=view.slots_free,
            slots=view.slots_live,
            nodes=view.nodes,
        )
