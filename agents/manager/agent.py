"""The manager as an agent: reads the wanted fleet and makes it so, and takes it along when told to end.

A manager that is killed leaves its members alone: they work on, and the next manager adopts them. One that is
asked to end (SIGTERM) drains them in the order of `agents.manager.fleet.STOP_ORDER` and exits with 0 within
STOP_ALL_MAX_S. One that sees a newer manager ends with 0 and touches nothing.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from random import random
from typing import ClassVar

import structlog

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from agents.manager.fleet import Fleet
from agents.manager.lock import ManagerLock
from agents.manager.tenure import Tenure
from agents.runtimes.base import Member, Runtime
from agents.runtimes.choice import RuntimeChoice, choose
from agents.runtimes.environment import Deployment
from agents.runtimes.guard import Guarded, Superseded
from backend.bootstrap import Swarmex, revive_servers, utc_now
from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec, fleet_label
from backend.domain.ids import AgentId
from backend.services import incidents, managers, scaling
from backend.storage.agents import Sight

SCALE_EVERY_S = 2.0
SERVERS_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class ManagerAgent(DirectAgent):
    """Desired against actual, twice a second."""

    name: ClassVar[str] = "manager"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.FLEET_CHANGED,)
    period_s: ClassVar[float] = 0.5

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        self._runtime = runtime_of(app)
        self._lock = ManagerLock(app.folder)
        self._tenure: Tenure | None = None
        self._fleet: Fleet | None = None
        self._desired: Sequence[FleetSpec] | None = None
        self._gone: dict[str, datetime] = {}
        self._memory = scaling.Memory()
        self._upkeep = (Chore("servers", self._revive_servers, SERVERS_EVERY_S),)
        self._chores = (Chore("scale", self._rescale, SCALE_EVERY_S),)

    def opened(self) -> None:
        self._lock.take()

    def tick(self, now: datetime) -> Pace:
        run_due(self._upkeep, now, time.monotonic(), random())
        try:
            self._manage(now)
        except Superseded as error:
            log.warning("manager.superseded", generation=error.generation)
            self._fleet = None  # it is another's now
            self.drain()
        return Pace.REST

    def drained(self) -> None:
        try:
            if self._fleet is not None:
                self._fleet.stop_all()
        except Superseded as error:
            log.warning("manager.superseded", generation=error.generation)
        self._lock.release()

    def gone(self, member: Member) -> None:
        """The member's process has ended: what it held is returned within this tick, or when the database is back."""
        self._gone[member.label] = utc_now()

    def on_crash_loop(self, member: Member, deaths: int) -> None:
        """A member keeps dying, and somebody should look into it."""
        log.error("member.crash_loop", member=member.label, kind=member.kind, deaths=deaths)
        self.app.bus.publish([Event(Topic.CRASH_LOOP, member.label)])
        self._report(incidents.report_crash_loop, member.label, deaths)

    def on_rolled_back(self, member: Member) -> None:
        """A member did not get well as its entry was changed, and somebody should set that right."""
        log.error("member.rolled_back", member=member.label, kind=member.kind, image=member.image)
        self._report(incidents.report_rolled_back, member.label)

    def drain_agent(self, agent_id: AgentId) -> None:
        """An agent is not wanted any more: it may finish what it holds."""
        managers.drain(self.uow(), [agent_id])

    def _report(self, report: Callable[..., bool], *about: object) -> None:
        """Open an incident, unless the database is away: it is logged already."""
        with suppress(Exception):
            webhook = self.app.settings.alert_webhook is not None
            report(self.uow(), utc_now(), *about, webhook=webhook)

    def _manage(self, now: datetime) -> None:
        if self._tenure is None:
            self._tenure = Tenure(self.uow, self.identity.agent_id)
        if self._fleet is None:
            guarded = Guarded(self._runtime, self._tenure.generation, self._tenure.is_current)
            self._fleet = Fleet(guarded, self, self.app.settings.stuck_after_s)
        sights: Sequence[Sight] | None = None
        try:
            self._return_work()
            sights = self._look(now, self._tenure.generation)
        finally:
            # While the database is away, the last known wish holds: who dies is started again.
            if self._desired is not None:
                self._fleet.reconcile(self._desired, sights, time.monotonic())
        self._return_work()
        run_due(self._chores, now, time.monotonic(), random())

    def _look(self, now: datetime, generation: int) -> Sequence[Sight]:
        """The agents as they are; the wish is remembered. Raises Superseded."""
        view = managers.look(self.uow(), now, generation)
        if not view.current:
            raise Superseded(generation)
        self._desired = view.desired
        return view.sights

    def _return_work(self) -> None:
        for label, before in list(self._gone.items()):
            items = managers.agent_gone(self.uow(), utc_now(), label, before)
            del self._gone[label]
            if items:
                log.info("member.work_returned", member=label, items=items)

    def _revive_servers(self, _: datetime) -> bool:
        if revive_servers(self.app.settings):
            log.warning("servers.revived", folder=str(self.app.folder))
        return False

    def _rescale(self, now: datetime) -> bool:
        scaling.rescale(self.uow(), now, self._memory)
        return False


def runtime_of(app: Swarmex) -> Runtime:
    """Where the members of `app`'s fleet run."""
    chosen = RuntimeChoice(app.settings.runtime, app.settings.image, app.settings.placement)
    return choose(chosen, deployment_of(app), os.environ)


def deployment_of(app: Swarmex) -> Deployment:
    """What the members of the fleet in `app`'s data folder share."""
    settings = app.settings
    return Deployment(
        fleet=fleet_label(str(app.folder)),
        folder=app.folder,
        database_url=app.database_url,
        redis_url=app.redis_url,
        node_database_url=cache(app.node_database_url),
        objects_url=settings.objects,
        model_cache=settings.cache,
        bus_namespace=settings.bus_namespace,
        log_level=settings.log_level,
    )
