"""What all agents share: identity, signs of life, a loop woken by the bus, patience, an orderly end.

An agent outlives Redis and PostgreSQL: errors of a tick are waited out with a bounded back-off. On SIGTERM or
SIGINT it finishes its tick, hands back what it holds, says that it has stopped and exits with 0.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from random import random
from typing import ClassVar

import structlog

from agents.heartbeat import Heartbeat, Registry
from backend.domain.backoff import delay_s
from backend.domain.events import Audience, Topic
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from backend.messaging.ports import EventBus
from backend.messaging.subscription import Subscription

SLICE_S = 0.1  # a signal is acted on within this time, since handlers must not touch locks

log = structlog.get_logger(__name__)


class Pace(Enum):
    """Whether there is more to do at once."""

    AGAIN = "again"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an agent is: a new id at every start, and the name that its operator knows it by."""

    agent_id: AgentId
    name: str
    host: str
    pid: int

    @staticmethod
    def of_this_process(agent_id: AgentId, name: str) -> "Identity":
        """Identity of the agent that runs in this process."""
        return Identity(agent_id, name, socket.gethostname(), os.getpid())


def rest(news: Subscription, period_s: float, is_over: Callable[[], bool]) -> None:
    """Until an event arrives, or `is_over`, which is asked every SLICE_S, or the period is over."""
    deadline = time.monotonic() + period_s
    while not is_over() and (left_s := deadline - time.monotonic()) > 0:
        if news.wait(min(left_s, SLICE_S)):
            return


class Agent:
    """A name, channels and a `tick`; everything else is here."""

    name: ClassVar[str]
    channels: ClassVar[tuple[Topic, ...]] = ()
    period_s: ClassVar[float] = 1.0  # a tick at least so often, since events may be lost

    def __init__(self, identity: Identity, registry: Registry, bus: EventBus) -> None:
        self.identity = identity
        self._registry = registry
        self._bus = bus
        self._draining = False
        self._hurried = False
        self.ticks = 0
        self.failures = 0
        self._ticked_s = time.monotonic()
        self._missed = False

    def tick(self, now: datetime) -> Pace:
        """Do what is due; errors are waited out and the tick is repeated."""
        raise NotImplementedError

    def opened(self) -> None:
        """Called once, before the first beat."""

    def registered(self) -> None:
        """Called once, in the heartbeat's thread, when the first beat has been recorded."""
        log.info("agent.registered", agent_id=str(self.identity.agent_id))

    def drained(self) -> None:
        """Called once, after the last tick: finish or hand back what is held."""

    def beat(self) -> AgentBeat:
        """The sign of life and of progress; agents that serve nodes add where, and what they got done."""
        who = self.identity
        return AgentBeat(
            who.agent_id,
            self.name,
            who.name,
            who.host,
            who.pid,
            work_done=self.ticks,
            tick_age_ms=self.tick_age_ms(),
        )

    def tick_age_ms(self) -> int:
        """How long ago the last tick ended, well or not; what hangs in a tick is seen by this."""
        return 0 if self._draining else int((time.monotonic() - self._ticked_s) * 1_000)

    def audience(self) -> Audience:
        """Whose events it hears beside everybody's: those of its kind and its own; agents that serve nodes add them."""
        return Audience(kind=self.name, agent=str(self.identity.agent_id))

    def missed_events(self, since: datetime) -> None:
        """Called when events after `since` may have been missed: a tick reads the whole truth, so one comes now."""
        log.info("agent.resync", since=since.isoformat())
        self._missed = True

    def drain(self) -> None:
        """Ask for an orderly end, with the time that it takes; safe to call from any thread."""
        self._draining = True

    def hurry(self) -> None:
        """Ask for an orderly end within the time that a signal leaves; safe to call from a signal handler."""
        self._hurried = True
        self.drain()

    def run(self) -> int:
        """Work until asked to end; the process's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.hurry())
        structlog.contextvars.bind_contextvars(agent=self.name, agent_name=self.identity.name)
        self.opened()
        heartbeat = Heartbeat(self._registry, self)
        heartbeat.start()
        log.info("agent.started", agent_id=str(self.identity.agent_id), pid=self.identity.pid)
        subscription = self._bus.subscribe(self.channels, self.audience(), self.missed_events)
        try:
            self._work(subscription)
        finally:
            subscription.close()
            self.drained()
            heartbeat.stop()
            self._say_stopped()
        return 0

    def _work(self, subscription: Subscription) -> None:
        failures = 0
        while not self._draining:
            try:
                pace = self.tick(datetime.now(UTC))
            except Exception as error:  # of any layer below; the loop is what outlives them
                failures += 1
                self.failures += 1
                wait_s = delay_s(failures, random())
                log.warning("agent.tick_failed", error=repr(error), failures=failures, retry_s=round(wait_s, 3))
                self._turned()
                self._sleep(wait_s)
                continue
            failures = 0
            self._turned()
            if pace is Pace.REST:
                rest(subscription, self.period_s, lambda: self._draining or self._missed)
                self._missed = False

    def _turned(self) -> None:
        self.ticks += 1
        self._ticked_s = time.monotonic()

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._draining and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, SLICE_S))

    def _say_stopped(self) -> None:
        try:
            self._registry.stopped(self.identity.agent_id)
        except Exception as error:  # then the others notice by the missing beats
            log.warning("agent.stop_not_recorded", error=repr(error))
        log.info("agent.stopped", agent_id=str(self.identity.agent_id))
