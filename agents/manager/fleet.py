"""Moves a runtime towards the wanted fleet, step by step, and takes it down in order at the end."""

import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from agents.manager.departures import STOP_GRACE_S, Departures
from agents.manager.reconcile import diff
from agents.manager.restarts import Restarts
from agents.manager.rollouts import Rollouts
from agents.manager.watch import Watch
from agents.runtimes.base import Member, MemberKey, Running, Runtime
from agents.runtimes.guard import Superseded
from backend.domain.errors import SwarmexError
from backend.domain.fleet import AgentKind, AgentState, FleetSpec
from backend.domain.health import PROGRESS_MAX_S, Verdict, judge
from backend.domain.ids import AgentId
from backend.storage.agents import Sight

KILL_WAIT_S = 1.0
POLL_S = 0.05
# The servers and who starts new work first, so that nothing new comes in; then who runs it; settlement last, so
# that what was committed is paid.
STOP_ORDER: tuple[frozenset[AgentKind], ...] = (
    frozenset({AgentKind.API, AgentKind.GRPC, AgentKind.TRAINING_ROUND, AgentKind.ALLOCATION, AgentKind.PRICING}),
    frozenset({AgentKind.INFERENCE}),
    frozenset(AgentKind),
)
STOP_ALL_MAX_S = len(STOP_ORDER) * (STOP_GRACE_S + KILL_WAIT_S)

log = structlog.get_logger(__name__)


class Coordinator(Protocol):
    """Whom a fleet tells what becomes of its members."""

    def drain_agent(self, agent_id: AgentId) -> None:
        """This agent is not wanted any more: it may finish what it holds."""
        ...

    def gone(self, member: Member) -> None:
        """The member's process has ended, whatever it said before."""
        ...

    def on_crash_loop(self, member: Member, deaths: int) -> None:
        """It keeps dying, and will be started ever more rarely."""
        ...

    def on_rolled_back(self, member: Member) -> None:
        """It did not get well in the place of another, which is there again; it is not tried again."""
        ...


class Fleet:
    """Members by their keys, what they were asked, and how often they died. One thread uses it."""

    def __init__(self, runtime: Runtime, coordinator: Coordinator, stuck_after_s: float = PROGRESS_MAX_S) -> None:
        self._runtime = runtime
        self._stuck_after_s = stuck_after_s
        self._coordinator = coordinator
        self._restarts = Restarts()
        self._rollouts = Rollouts()
        self._departures = Departures(runtime, coordinator.drain_agent)
        self._watch = Watch()
        self._seen: dict[MemberKey, Running] = {}
        self._killed: dict[str, str] = {}

    def reconcile(self, desired: Sequence[FleetSpec], sights: Sequence[Sight] | None, now_s: float) -> None:
        """One step: start what is missing, see off or replace what is not wanted so, and kill what is sick.

        Without `sights`, since the database is away, only what died is started again: who cannot be seen is not judged.
        Raises Superseded.
        """
        actual = self._runtime.list()
        self._notice(actual, self._rollouts.look(desired, actual), now_s)
        if sights is not None:
            self._watch.look(sights, actual, now_s)
        draining = {running.handle for running in actual if self._drains(running)}
        leaving = self._departures.handles | draining
        starting = {running.handle for running in actual if self._watch.sight(running) is None}
        held, refused = self._watch.held(actual), self._rollouts.refused
        plan = diff(desired, actual, leaving, held, starting, refused, in_place=self._runtime.replaces)
        if sights is not None:
            for running in plan.stop:
                self._departures.step(running, self._watch.sight(running), now_s)
            self._heal([running for running in actual if running not in plan.stop], now_s)
            for running, member in plan.replace:
                if running.handle not in self._killed and self._restarts.may_start(member.key, now_s):
                    self._replace(running, member, now_s)
        for member in plan.start:
            if self._restarts.may_start(member.key, now_s):
                self._start(member, now_s)
        self._runtime.tidy()

    def stop_all(self) -> None:
        """Stop every member, in STOP_ORDER; returns within STOP_ALL_MAX_S. Raises Superseded."""
        for kinds in STOP_ORDER:
            leaving = self._of(kinds)
            for running in leaving:
                log.info("member.stopping", member=running.member.label)
                self._runtime.ask_to_stop(running)
            for running in self._await_gone(kinds, STOP_GRACE_S):
                log.warning("member.killed", member=running.member.label)
                self._runtime.kill(running)
            self._await_gone(kinds, KILL_WAIT_S)
        self._runtime.tidy()

    def _notice(self, actual: Sequence[Running], rolled_back: Sequence[Member], now_s: float) -> None:
        """Tell the adopted from the new, and the dead from the dismissed and those that were rolled back."""
        for member in rolled_back:
            self._seen.pop(member.key, None)  # its runtime has seen it off, and has started the one before again
            self._coordinator.on_rolled_back(member)
        there = frozenset(running.handle for running in actual)
        for key, running in list(self._seen.items()):
            if running.handle not in there:
                del self._seen[key]
                self._gone(running, now_s)
        self._departures.keep(there)
        for running in actual:
            key = running.member.key
            if key not in self._seen:
                self._seen[key] = running
                self._restarts.started(key, now_s)
                log.info("member.found", member=running.member.label, handle=running.handle)

    def _gone(self, running: Running, now_s: float) -> None:
        self._coordinator.gone(running.member)
        why = self._killed.pop(running.handle, None)
        if self._departures.gone(running.handle) or (why is None and self._drains(running)):
            self._restarts.forget(running.member.key)
        else:
            self._pause(running.member, now_s, why or "it ended by itself")

    def _drains(self, running: Running) -> bool:
        """Whether its agent was told to end, by whomever."""
        sight = self._watch.sight(running)
        return sight is not None and sight.state is AgentState.DRAINING

    def _heal(self, staying: Sequence[Running], now_s: float) -> None:
        """Kill the sick: what they hold goes back when their end is noticed, and others are started for them."""
        for running in staying:
            diagnosis = judge(self._watch.signs(running, now_s), self._stuck_after_s)
            if diagnosis.verdict is not Verdict.SICK:
                continue
            if running.handle not in self._killed:
                log.warning("member.sick", member=running.member.label, reason=diagnosis.reason)
                self._killed[running.handle] = diagnosis.reason
            self._runtime.kill(running)

    def _start(self, member: Member, now_s: float) -> None:
        try:
            # Known from now on: one that dies before it is ever listed has died all the same.
            self._seen[member.key] = self._runtime.start(member)
            self._restarts.started(member.key, now_s)
        except Superseded:
            raise
        except (OSError, SwarmexError) as error:
            self._pause(member, now_s, repr(error))

    def _replace(self, running: Running, member: Member, now_s: float) -> None:
        try:
            # Who was there is not reported as gone: it has yet to end, and hands back itself what it may have taken.
            self._seen[member.key] = self._runtime.replace(running, member)
            self._restarts.started(member.key, now_s)
            self._rollouts.tried(member)
        except Superseded:
            raise
        except (OSError, SwarmexError) as error:
            self._pause(member, now_s, repr(error), "member.not_replaced")

    def _pause(self, member: Member, now_s: float, reason: str, event: str = "member.died") -> None:
        pause_s = self._restarts.died(member.key, now_s)
        log.warning(event, member=member.label, reason=reason, pause_s=round(pause_s, 3))
        if deaths := self._restarts.crash_loop(member.key, now_s):
            self._coordinator.on_crash_loop(member, deaths)

    def _of(self, kinds: frozenset[AgentKind]) -> list[Running]:
        return [running for running in self._runtime.list() if running.member.kind in kinds]

    def _await_gone(self, kinds: frozenset[AgentKind], timeout_s: float) -> list[Running]:
        """Those of `kinds` that are left when all are gone or the time is over."""
        deadline = time.monotonic() + timeout_s
        while (left := self._of(kinds)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left
