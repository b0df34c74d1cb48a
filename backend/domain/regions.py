"""Regions (fog zones) and how far they are from one another, by which work that must leave one chooses another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.errors import Invalid, Unavailable
from backend.domain.machines import LATENCY_MS_MAX, Needs
from backend.domain.nodes import check_region
from backend.domain.orders import MarketState, Strategy

LINK_UNKNOWN_MS = 100  # between regions of which nobody has said how far they are
PRICE_OF_DISTANCE_PPM = 2_000  # balanced orders take a millisecond for a fifth of a percent of the price

Links = Mapping[str, int]
"""From one region, milliseconds to others."""


def check_link(region: str, other: str, latency_ms: int) -> tuple[str, str, int]:
    """A link between two regions, in the order in which it is written down; raises Invalid with the field's name."""
    if not 0 <= latency_ms <= LATENCY_MS_MAX:
        raise Invalid(
            f"{latency_ms} ms is out of range",
            code="invalid_latency_ms",
            field="latency_ms",
            accepted=f"0 to {LATENCY_MS_MAX}",
        )
    return *check_pair(region, other), latency_ms


def check_pair(region: str, other: str) -> tuple[str, str]:
    """Two regions in the order in which their link is written down; raises Invalid with the field's name."""
    check_region(region, "region")
    check_region(other, "other")
    if region == other:
        raise Invalid("a region is where it is", code="invalid_other", field="other", accepted="another region")
    return min(region, other), max(region, other)


def link_ms(home: str, region: str, links: Links) -> int:
    """Milliseconds from a region to another one or itself."""
    return 0 if region == home else links.get(region, LINK_UNKNOWN_MS)


def within_reach(
    home: str, markets: Sequence[MarketState], strategy: Strategy, needs: Needs, links: Links
) -> tuple[list[MarketState], Needs]:
    """Markets for an order that may leave its region: those at home first, then the others by price and distance.

    A latency bound holds from home to the node: markets that are too far are left out, and what is asked of a node is
    the bound less the longest way that is left, so that no node of any of them can break it. Markets without a living
    node come last. Ways of the strategies: cost by price, latency by distance, balanced by both. Raises
    Unavailable(`needs_unmet`) when everything is too far.
    """
    bound = needs.latency_ms_max
    near = [m for m in markets if bound is None or link_ms(home, m.market.region, links) <= bound]

    def rank(place: int) -> tuple[bool, bool, int, int]:
        m = near[place]
        away_ms = link_ms(home, m.market.region, links)
        worth = {
            Strategy.COST: m.spot_nano,
            Strategy.LATENCY: away_ms,
            Strategy.BALANCED: m.spot_nano * (1_000_000 + PRICE_OF_DISTANCE_PPM * away_ms),
        }[strategy]
        at_home = m.market.region == home
        return m.slots == 0, not at_home, 0 if at_home else worth, place

    ordered = [near[place] for place in sorted(range(len(near)), key=rank)]
    if bound is None:
        return ordered, needs
    if not ordered:
        raise Unavailable(
            f"no market within {bound} ms of {home} has what the tier may use",
            code="needs_unmet",
            field="needs.latency_ms_max",
            accepted=f"{min(link_ms(home, m.market.region, links) for m in markets)} or more",
        )
    farthest = max(link_ms(home, m.market.region, links) for m in ordered)
    return ordered, replace(needs, latency_ms_max=bound - farthest)
