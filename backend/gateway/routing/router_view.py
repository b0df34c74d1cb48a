"""What the router of this process does at the moment, for monitoring: read-only, and nothing of who pays."""

from collections.abc import Iterable
from dataclasses import dataclass

from backend.gateway.routing.line import Line


@dataclass(frozen=True, slots=True)
class RouterFigures:
    """The lines of one model and tier, all buyers' together; `ewma_s` is the slowest lease's peak EWMA of latency."""

    model: str
    tier: str
    lines: int = 0
    leases: int = 0
    resting: int = 0
    ejected: int = 0
    opening: int = 0
    in_flight: int = 0
    ewma_s: float = 0.0

    def with_line(self, line: Line, now_s: float) -> "RouterFigures":
        """These and one line more."""
        sessions = list(line.sessions)
        targets = [session.target for session in sessions]
        return RouterFigures(
            self.model,
            self.tier,
            self.lines + 1,
            self.leases + len(targets),
            self.resting + max(0, len(targets) - line.awake),
            self.ejected + sum(target.health.ejected(now_s) for target in targets),
            self.opening + (line.opening is not None),
            self.in_flight + sum(target.in_flight for target in targets),
            max([self.ewma_s, *(target.latency_s(now_s) for target in targets)]),
        )


def router_figures(lines: Iterable[Line], now_s: float) -> list[RouterFigures]:
    """One row per model and tier with a lease or one being opened, in order; `now_s` as the lines' own clock has it."""
    found: dict[tuple[str, str], RouterFigures] = {}
    for line in lines:
        if line.sessions or line.opening:
            place = line.key.model, str(line.key.tier)
            found[place] = found.get(place, RouterFigures(*place)).with_line(line, now_s)
    return [found[place] for place in sorted(found)]
