"""Moves a runtime towards the wanted fleet, step by step, and takes it down in order at the end."""

import time
from collections.abc import Sequence

import structlog

from agents.manager.reconcile import diff
from agents.manager.restarts import Restarts
from agents.runtimes.base import Member, MemberKey, Running, Runtime
from backend.domain.errors import SwarmexError
from backend.domain.fleet import AgentKind, FleetSpec

STOP_GRACE_S = 10.0  # longer than the longest drain, which is an inference agent's
KILL_WAIT_S = 1.0
POLL_S = 0.05
# The API and who starts new work first, so that nothing new comes in; then who runs it; settlement last, so
# that what was committed is paid.
STOP_ORDER: tuple[frozenset[AgentKind], ...] = (
    frozenset({AgentKind.API, AgentKind.ALLOCATION, AgentKind.PRICING}),
    frozenset({AgentKind.INFERENCE}),
    frozenset(AgentKind),
)
STOP_ALL_MAX_S = len(STOP_ORDER) * (STOP_GRACE_S + KILL_WAIT_S)

log = structlog.get_logger(__name__)


class Fleet:
    """Members by their keys, what they were asked, and how often they died. One thread uses it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._restarts = Restarts()
        self._seen: dict[MemberKey, Running] = {}
        self._stopping: dict[str, float] = {}

    def reconcile(self, desired: Sequence[FleetSpec], now_s: float) -> None:
        """One step: start what is missing, ask to stop what is not wanted, kill what does not stop."""
        actual = self._runtime.list()
        self._notice(actual, now_s)
        plan = diff(desired, actual)
        for running in plan.stop:
            self._stop(running, now_s)
        for member in plan.start:
            if self._restarts.may_start(member.key, now_s):
                self._start(member, now_s)
        self._runtime.tidy()

    def stop_all(self) -> None:
        """Stop every member, in STOP_ORDER; returns within STOP_ALL_MAX_S."""
        for kinds in STOP_ORDER:
            leaving = self._of(kinds)
            for running in leaving:
                log.info("member.stopping", member=running.member.label)
                self._runtime.ask_to_stop(running)
            for running in self._await_gone(kinds, STOP_GRACE_S):
                log.warning("member.killed", member=running.member.label)
                self._runtime.kill(running)
            self._await_gone(kinds, KILL_WAIT_S)

    def _notice(self, actual: Sequence[Running], now_s: float) -> None:
        """Tell the adopted from the new, and the dead from the dismissed."""
        there = {running.handle for running in actual}
        for key, running in list(self._seen.items()):
            if running.handle not in there:
                del self._seen[key]
                if self._stopping.pop(running.handle, None) is not None:
                    self._restarts.forget(key)
                else:
                    self._pause(running.member, now_s, "it ended by itself")
        self._stopping = {handle: asked_s for handle, asked_s in self._stopping.items() if handle in there}
        for running in actual:
            key = running.member.key
            if key not in self._seen:
                self._seen[key] = running
                self._restarts.started(key, now_s)
                log.info("member.found", member=running.member.label, handle=running.handle)

    def _start(self, member: Member, now_s: float) -> None:
        try:
            # Known from now on: one that dies before it is ever listed has died all the same.
            self._seen[member.key] = self._runtime.start(member)
            self._restarts.started(member.key, now_s)
        except (OSError, SwarmexError) as error:
            self._pause(member, now_s, repr(error))

    def _pause(self, member: Member, now_s: float, reason: str) -> None:
        pause_s = self._restarts.died(member.key, now_s)
        log.warning("member.died", member=member.label, reason=reason, pause_s=round(pause_s, 3))

    def _stop(self, running: Running, now_s: float) -> None:
        asked_s = self._stopping.get(running.handle)
        if asked_s is None:
            log.info("member.stopping", member=running.member.label)
            self._stopping[running.handle] = now_s
            self._runtime.ask_to_stop(running)
        elif now_s - asked_s > STOP_GRACE_S:
            log.warning("member.killed", member=running.member.label)
            self._runtime.kill(running)

    def _of(self, kinds: frozenset[AgentKind]) -> list[Running]:
        return [running for running in self._runtime.list() if running.member.kind in kinds]

    def _await_gone(self, kinds: frozenset[AgentKind], timeout_s: float) -> list[Running]:
        """Those of `kinds` that are left when all are gone or the time is over."""
        deadline = time.monotonic() + timeout_s
        while (left := self._of(kinds)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left
