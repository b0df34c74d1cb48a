"""What is told of prices over time, depth, books and rules: the same names and forms as in the HTTP API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.domain.money import PPM, format_credits
from backend.domain.pricing import Market

if TYPE_CHECKING:
    from backend.domain.depth import Band
    from backend.domain.market_rules import MarketRule
    from backend.domain.pricing import PricePoint
    from backend.services.depth import MarketDepth
    from backend.storage.depth import BookOffer, BookOrder

Document = dict[str, Any]
MarketArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CLASS/REGION", help="A market by its class and region, as in fog/home.", show_default=False
    ),
]
_BARS = "▁▂▃▄▅▆▇█"


def parse_market(text: str) -> Market:
    """The market that `text` names; raises Invalid."""
    from backend.domain.market_rules import read_market

    return read_market(text)


def course(values: Sequence[int]) -> str:
    """Values as a line of bars, the lowest to the highest."""
    low, span = min(values), max(values) - min(values)
    return "".join(_BARS[(value - low) * (len(_BARS) - 1) // span if span else 0] for value in values)


def point(found: "PricePoint") -> Document:
    """A spot price as an epoch set it."""
    return {
        "resource_class": found.market.resource_class,
        "region": found.market.region,
        "at": found.at,
        "spot_price": format_credits(found.spot_nano_per_slot_s),
        "utilisation": found.utilisation_ppm / PPM,
        "slots": found.slots,
        "busy_slots": found.busy_slots,
        "cause": found.cause.told,
    }


def depth(found: "MarketDepth") -> Document:
    """A market's depth."""
    return {
        "resource_class": found.market.resource_class,
        "region": found.market.region,
        "spot_price": format_credits(found.spot_nano_per_slot_s),
        "slots_free": found.slots_free,
        "free": [band(one) for one in found.free],
        "waiting": [band(one) for one in found.waiting],
    }


def band(found: "Band") -> Document:
    """A band of a market's depth."""
    return {
        "above": None if found.above_ppm is None else found.above_ppm / PPM,
        "up_to": None if found.up_to_ppm is None else found.up_to_ppm / PPM,
        "slots": found.slots,
        "fewer_than_3": found.slots is None,
    }


def open_order(found: "BookOrder") -> Document:
    """An open order with its limit."""
    return {
        "resource_class": found.market.resource_class,
        "region": found.market.region,
        "order": found.id,
        "account": found.account_id,
        "tier": found.tier,
        "workload": found.workload,
        "slots": found.slots,
        "limit": format_credits(found.limit_nano),
        "placed_at": found.placed_at,
    }


def open_offer(found: "BookOffer") -> Document:
    """An open offer with its ask."""
    return {
        "resource_class": found.market.resource_class,
        "region": found.market.region,
        "offer": found.id,
        "account": found.account_id,
        "node": found.node_id,
        "node_name": found.node,
        "version": found.version,
        "slots_free": found.slots_free,
        "ask": format_credits(found.ask_nano),
        "offered_at": found.offered_at,
    }


def rule(found: "MarketRule") -> Document:
    """A market's rules."""
    return {
        "resource_class": found.market.resource_class,
        "region": found.market.region,
        "mechanism": found.mechanism,
        "floor": format_credits(found.control.floor_nano),
        "cap": format_credits(found.control.cap_nano),
        "target_ppm": found.control.target_ppm,
        "own": found.own,
    }
