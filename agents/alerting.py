"""Watches for incidents and tells the webhook, in threads of their own: neither Redis nor a receiver that hangs keeps
an agent from its work, or the watch from its turn.
"""

import time
from collections.abc import Callable
from datetime import datetime
from random import random
from threading import Event, Thread

import structlog

from agents.chores import Chore, run_due
from backend.bootstrap import Swarmex, utc_now
from backend.domain.errors import Invalid, Unavailable
from backend.domain.observations import BreakerSeen
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.webhook import Webhook
from backend.services import incidents, notifying

WATCH_EVERY_S = 2.0
DELIVER_EVERY_S = 1.0
TURN_S = 0.2
REDIS = "redis"  # several breakers of a process keep it from Redis, and an operator wants to hear of it once
BREAKER_POLICY = BreakerPolicy(fail_max=2, recovery_s=1.0)  # one look that Redis does not answer says nothing yet
STOP_TIMEOUT_S = 6.0  # a bit more than one attempt takes; what is under way then is sent again by another

log = structlog.get_logger(__name__)


class Alerting:
    """Started and stopped with the agent that has it; replicas take turns by the database."""

    def __init__(self, app: Swarmex) -> None:
        self._app = app
        self._stopping = Event()
        self._reading = app.breakers.get("board", REDIS, BREAKER_POLICY, shared=False)
        duties: list[tuple[str, Callable[[datetime], bool], float]] = [("incidents", self.watch, WATCH_EVERY_S)]
        self._webhook = _webhook_of(app)
        if self._webhook is not None:
            duties.append(("webhook", self.deliver, DELIVER_EVERY_S))
        self._threads = [
            Thread(target=self._keep, args=(Chore(name, run, every_s),), name=name, daemon=True)
            for name, run, every_s in duties
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within STOP_TIMEOUT_S."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def watch(self, now: datetime) -> bool:
        """One look at everything."""
        shared = self._shared()
        breakers = [*(shared or ()), *self._own()]
        owed = self._webhook is not None
        changed = incidents.watch(self._app.uow(), now, breakers, blind=shared is None, webhook=owed)
        for incident in changed.opened:
            log.warning("incident.opened", id=str(incident.id), kind=str(incident.kind), subject=incident.subject)
        for incident in changed.resolved:
            log.info("incident.resolved", id=str(incident.id), kind=str(incident.kind), subject=incident.subject)
        return False

    def deliver(self, now: datetime) -> bool:
        """One round of what the webhook is owed."""
        assert self._webhook is not None  # else nobody asks for it
        return notifying.deliver(self._app.uow(), now, self._webhook.send, random()) == notifying.SEND_MAX

    def _shared(self) -> list[BreakerSeen] | None:
        """What all processes know, or None while Redis does not answer."""
        try:
            posted = self._reading.call(self._app.breakers.read)
        except (Unavailable, BreakerOpen):
            return None
        return [BreakerSeen(breaker.name, breaker.state == "open") for breaker in posted]

    def _own(self) -> list[BreakerSeen]:
        """What this process found out for itself, of which Redis could tell nobody that it is away."""
        return [
            BreakerSeen(REDIS if own.key == REDIS else f"{own.kind}:{own.key}", own.state == "open")
            for own in self._app.breakers.own()
        ]

    def _keep(self, chore: Chore) -> None:
        while not self._stopping.is_set():
            if not run_due((chore,), utc_now(), time.monotonic(), random()):
                self._stopping.wait(TURN_S)


def _webhook_of(app: Swarmex) -> Webhook | None:
    """Who is told; a setting that cannot be used is no reason to pay nobody."""
    try:
        return app.webhook
    except Invalid as error:
        log.error("webhook.unusable", setting=error.field, accepted=error.accepted)
        return None
