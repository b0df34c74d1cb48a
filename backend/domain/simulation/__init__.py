"""A simulated day of one market: what prices, utilisation and welfare come of the rules. No clock, no database."""

from backend.domain.simulation.outcome import Series, Simulation, Span, TierOutcome, Totals, spans
from backend.domain.simulation.plan import HOUR_S, Day, Surge
from backend.domain.simulation.play import simulate

__all__ = ["HOUR_S", "Day", "Series", "Simulation", "Span", "Surge", "TierOutcome", "Totals", "simulate", "spans"]
