"""How members leave: they are told and finish what they hold, then they are asked, and at last they are killed."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from agents.runtimes.base import Running, Runtime
from backend.domain.fleet import DRAIN_MAX_S, AgentKind, AgentState
from backend.domain.ids import AgentId
from backend.storage.agents import Sight

TOLD_GRACE_S = 3.0  # from the word in the database to the end of one that has nothing in hand: a beat and a bit
STOP_GRACE_S = 10.0  # longer than the longest drain on a signal, which is an inference agent's

log = structlog.get_logger(__name__)


class Tell(Protocol):
    """Lets an agent know that it is to drain."""

    def __call__(self, agent_id: AgentId) -> None: ...


@dataclass(slots=True)
class _Leaving:
    since_s: float
    asked_s: float | None = None


class Departures:
    """Members that are on their way out, by their handles; times are seconds of one clock, passed in."""

    def __init__(self, runtime: Runtime, tell: Tell) -> None:
        self._runtime = runtime
        self._tell = tell
        self._leaving: dict[str, _Leaving] = {}

    @property
    def handles(self) -> frozenset[str]:
        """Who is leaving."""
        return frozenset(self._leaving)

    def step(self, running: Running, sight: Sight | None, now_s: float) -> None:
        """Bring a departure on; nobody is killed within DRAIN_MAX_S while it has work in hand."""
        leaving = self._leaving.get(running.handle)
        if leaving is None:
            self._begin(running, sight, now_s)
            return
        patient = sight is not None and sight.held > 0 and now_s - leaving.since_s < DRAIN_MAX_S
        if patient:
            return
        if leaving.asked_s is None:
            if now_s - leaving.since_s > TOLD_GRACE_S:
                leaving.asked_s = now_s
                self._runtime.ask_to_stop(running)
        elif now_s - leaving.asked_s > STOP_GRACE_S:
            log.warning("member.killed", member=running.member.label)
            self._runtime.kill(running)

    def gone(self, handle: str) -> bool:
        """It has ended; whether it had been asked to."""
        return self._leaving.pop(handle, None) is not None

    def keep(self, there: frozenset[str]) -> None:
        """Forget all who are not there any more."""
        self._leaving = {handle: leaving for handle, leaving in self._leaving.items() if handle in there}

    def _begin(self, running: Running, sight: Sight | None, now_s: float) -> None:
        log.info("member.stopping", member=running.member.label, held=sight.held if sight else 0)
        leaving = self._leaving[running.handle] = _Leaving(now_s)
        if sight is not None and running.member.kind is AgentKind.INFERENCE:
            # A signal would have it hand back what it cannot finish in time; this way it takes the time.
            if sight.state is AgentState.UP:
                self._tell(sight.id)
            return
        leaving.asked_s = now_s
        self._runtime.ask_to_stop(running)
