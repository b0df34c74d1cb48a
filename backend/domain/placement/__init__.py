"""Placement: which machines can serve an order at all, which of those it prefers, and who gets what slots."""

from backend.domain.placement.assignment import PAIRS_EXACT_MAX, Pairs, maximum_surplus
from backend.domain.placement.machines import Machines
from backend.domain.placement.preferences import SOFT_PPM, preference_nano
from backend.domain.placement.shortfalls import Shortfall, shortfalls
from backend.domain.placement.suitability import feasible, suits

__all__ = [
    "PAIRS_EXACT_MAX",
    "SOFT_PPM",
    "Machines",
    "Pairs",
    "Shortfall",
    "feasible",
    "maximum_surplus",
    "preference_nano",
    "shortfalls",
    "suits",
]
