"""The manager as an agent: reads the wanted fleet and makes it so, and takes it along when told to end.

A manager that is killed leaves its members alone: they work on, and the next manager adopts them. One that is
asked to end (SIGTERM) drains them in the order of `agents.manager.fleet.STOP_ORDER` and exits with 0 within
STOP_ALL_MAX_S.
"""

import os
import time
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import ClassVar

from agents.base import Identity, Pace
from agents.direct import DirectAgent
from agents.manager.fleet import Fleet
from agents.manager.lock import ManagerLock
from agents.runtimes.environment import Deployment, environment_of
from agents.runtimes.process import ProcessRuntime
from backend.bootstrap import Swarmex
from backend.domain.events import Topic
from backend.domain.fleet import FleetSpec, fleet_label
from backend.services import fleet


class ManagerAgent(DirectAgent):
    """Desired against actual, twice a second."""

    name: ClassVar[str] = "manager"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.FLEET_CHANGED,)
    period_s: ClassVar[float] = 0.5

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        shared = deployment_of(app)
        self._fleet = Fleet(
            ProcessRuntime(shared.fleet, shared.folder, lambda member: environment_of(member, shared, os.environ))
        )
        self._lock = ManagerLock(app.folder)
        self._desired: Sequence[FleetSpec] | None = None

    def opened(self) -> None:
        self._lock.take()

    def tick(self, _now: datetime) -> Pace:
        try:
            self._desired = fleet.desired(self.uow())
        finally:
            # While the database is away, the last known wish holds: who dies is started again.
            if self._desired is not None:
                self._fleet.reconcile(self._desired, time.monotonic())
        return Pace.REST

    def drained(self) -> None:
        self._fleet.stop_all()
        self._lock.release()


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
