"""Duties that one of several replicas does at a time: whoever holds a named resource, until it is gone or too slow."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from agents.base import Identity
from backend.bootstrap import Swarmex
from backend.domain.coordination import FenceStale, NamedLease
from backend.services import coordination
from backend.storage.guarded import GuardedUnitOfWork
from backend.storage.unit_of_work import UnitOfWork

HOLD_MIN_S = 15.0
HOLD_ROUNDS = 3  # of a duty that its holder may miss before another replica takes over

Duty = Callable[[datetime, UnitOfWork], bool]

log = structlog.get_logger(__name__)


class Turns:
    """The resources that this agent holds, and keeps from one round to the next: so one replica does a duty."""

    def __init__(self, app: Swarmex, identity: Identity) -> None:
        self._app = app
        self._holder = f"{identity.name}/{identity.agent_id}"
        self._held: dict[str, NamedLease] = {}

    def alone(self, name: str, duty: Duty, every_s: float) -> Callable[[datetime], bool]:
        """The duty as a chore that does nothing while another replica holds `name`.

        Its unit of work commits under the lease's fence: a replica that was paused, and has been replaced, writes
        nothing.
        """
        hold = timedelta(seconds=max(HOLD_MIN_S, HOLD_ROUNDS * every_s))

        def in_turn(now: datetime) -> bool:
            lease = self._keep(name, now, hold)
            if lease is None:
                return False
            app = self._app
            try:
                return duty(now, GuardedUnitOfWork(app.engine, app.bus.publish, name, lease.fence))
            except FenceStale as stale:
                self._lose(stale)
                return False

        return in_turn

    def end(self) -> None:
        """Give back what is held, so that another replica goes on at once."""
        while self._held:
            name, lease = self._held.popitem()
            with suppress(FenceStale):  # another replica has it already
                coordination.release(self._app.uow(), name, lease.fence)

    def _keep(self, name: str, now: datetime, hold: timedelta) -> NamedLease | None:
        if held := self._held.get(name):
            try:
                return coordination.renew(self._app.uow(), now, name, held.fence, hold)
            except FenceStale as stale:
                self._lose(stale)
        lease = coordination.acquire(self._app.uow(), now, name, self._holder, hold)
        if lease:
            self._held[name] = lease
            log.info("turn.taken", name=name, fence=lease.fence)
        return lease

    def _lose(self, stale: FenceStale) -> None:
        del self._held[stale.name]
        log.warning("turn.lost", name=stale.name, fence=stale.fence)
