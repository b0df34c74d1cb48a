"""How long each agent has been silent or idle, on the manager's own clock.

Only what changes counts, never what a clock elsewhere says; and time in which the manager saw nothing (it was stopped,
the database was away) is nobody's fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.runtimes.base import Running
from backend.domain.health import Signs
from backend.domain.ids import AgentId
from backend.storage.agents import Sight

GAP_MAX_S = 2.0  # between two looks; whatever is above was not watched


@dataclass(slots=True)
class _Seen:
    sight: Sight
    beat_s: float
    moved_s: float


class Watch:
    """Living agents by their names; one thread uses it."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._found_s: dict[str, float] = {}
        self._handles: dict[str, str] = {}
        self._outlived: dict[str, AgentId] = {}
        self._looked_s: float | None = None

    def look(self, sights: Sequence[Sight], actual: Sequence[Running], now_s: float) -> None:
        """Take notice of the agents as they are at `now_s`."""
        if self._looked_s is not None and (gap_s := now_s - self._looked_s) > GAP_MAX_S:
            self._forgive(gap_s)
        self._looked_s = now_s
        self._succeed(sights, actual)
        self._seen = {
            sight.name: _next(self._seen.get(sight.name), sight, now_s)
            for sight in sights
            if self._outlived.get(sight.name) != sight.id
        }
        self._found_s = {running.handle: self._found_s.get(running.handle, now_s) for running in actual}

    def sight(self, running: Running) -> Sight | None:
        """The agent that runs as this member, as it was seen last; None if it did not register."""
        seen = self._seen.get(running.member.label)
        return None if seen is None else seen.sight

    def signs(self, running: Running, now_s: float) -> Signs:
        """What its health is judged by."""
        age_s = now_s - self._found_s.get(running.handle, now_s)
        seen = self._seen.get(running.member.label)
        if seen is None:
            return Signs(age_s, container=running.health)
        silent_s = now_s - seen.beat_s
        sight = seen.sight
        tick_s = None if sight.tick_age_ms is None else sight.tick_age_ms / 1_000
        return Signs(age_s, silent_s, tick_s, now_s - seen.moved_s, sight.held_us, running.health)

    def held(self, actual: Sequence[Running]) -> Mapping[str, int]:
        """What the members have in hand, by their handles."""
        sights = ((running.handle, self.sight(running)) for running in actual)
        return {handle: sight.held for handle, sight in sights if sight is not None and sight.held}

    def _succeed(self, sights: Sequence[Sight], actual: Sequence[Running]) -> None:
        """A new process is not the agent that its predecessor was, though its row is still there."""
        for running in actual:
            label = running.member.label
            before = self._seen.get(label)
            if before is not None and self._handles.get(label, running.handle) != running.handle:
                self._outlived[label] = before.sight.id
        known = {sight.name for sight in sights}
        self._outlived = {label: agent for label, agent in self._outlived.items() if label in known}
        self._handles = {label: handle for label, handle in self._handles.items() if label in known}
        self._handles |= {running.member.label: running.handle for running in actual}

    def _forgive(self, gap_s: float) -> None:
        for seen in self._seen.values():
            seen.beat_s += gap_s
            seen.moved_s += gap_s
        self._found_s = {handle: found_s + gap_s for handle, found_s in self._found_s.items()}


def _next(before: _Seen | None, sight: Sight, now_s: float) -> _Seen:
    if before is None or before.sight.id != sight.id:
        return _Seen(sight, now_s, now_s)
    beat_s = before.beat_s if before.sight.beat_at == sight.beat_at else now_s
    works = sight.held or sight.queue_waits or sight.work_waiting
    moved_s = before.moved_s if works and before.sight.work_done == sight.work_done else now_s
    return _Seen(sight, beat_s, moved_s)
