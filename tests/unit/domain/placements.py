"""Requests and markets for the tests of orders."""

from typing import Any

from hypothesis import strategies as st

from backend.domain.orders import MarketState, WorkloadRequest
from backend.domain.pricing import Market
from backend.domain.tiers import ResourceClass

BODY: dict[str, Any] = {"inputs": []}


def request(**changes: Any) -> WorkloadRequest:
    """An inference of one row in tier medium, or as changed."""
    values: dict[str, Any] = {"workload": "inference", "model": "m", "tier": "medium", "requests": [BODY]}
    return WorkloadRequest(**(values | changes))


def market(
    spot: int, ask: int | None = None, slots: int = 1, resource_class: str = "fog", region: str = "north"
) -> MarketState:
    """A market; without slots it has no ask either, as its nodes are not alive."""
    return MarketState(Market(resource_class, region), spot, slots, slots, ask)


@st.composite
def market_lists(draw: st.DrawFn, least: int = 0) -> list[MarketState]:
    """Markets of different names, at few prices, so that they tie; some have no living node."""
    names = st.tuples(st.sampled_from([c.value for c in ResourceClass]), st.sampled_from(["north", "south", "west"]))
    states = []
    for resource_class, region in draw(st.lists(names, unique=True, min_size=least, max_size=8)):
        slots, spot = draw(st.integers(0, 3)), draw(st.integers(1, 5))
        states.append(market(spot, spot if slots else None, slots, resource_class, region))
    return states
