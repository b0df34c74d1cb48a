"""What the coordinator is told of sessions: the windows that they buy, their ends, and how their nodes served."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from backend.bootstrap import Swarmex, utc_now
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, NotFound
from backend.domain.ids import LeaseId
from backend.domain.leases import LeaseState
from backend.domain.orders import CloseReason
from backend.gateway.errors import code_of
from backend.gateway.leases.session import Session
from backend.gateway.threads import Threads
from backend.services import pools
from backend.services import sessions as service

log = structlog.get_logger(__name__)


class Upkeep:
    """Pays for sessions lease by lease; nothing here knows of requests or of other sessions."""

    def __init__(self, market: Swarmex, threads: Threads) -> None:
        self._market = market
        self._threads = threads
        self._ends: dict[LeaseId, asyncio.Task[None]] = {}  # the last one under way of each session

    async def ended(self, sessions: list[Session]) -> list[Session]:
        """Those of these whose leases were ended elsewhere, in one question for all."""
        leases = [session.lease_id for session in sessions]
        states = await self._threads.run(lambda: service.states(self._market.uow(), leases))
        return [session for session in sessions if states.get(session.lease_id) != LeaseState.ACTIVE]

    async def renew(self, session: Session) -> bool:
        """Buy the next window; False when the lease has ended.

        Without money the session is paused (`session.refused`) and tried again; in silence its window runs out.
        """
        measured = session.untold()
        try:
            session.window_ends_at = await self._threads.run(
                lambda: service.renew(self._market.uow(), utc_now(), session.lease_id, measured)
            )
            session.refused = None
            session.heard(measured)
        except (InsufficientFunds, BudgetExceeded) as error:
            if session.refused is None:
                log.warning("session_paused", lease_id=str(session.lease_id), code=error.code)
            session.refused = error
        except (Conflict, NotFound):
            return False
        except Exception as error:
            log.warning("session_not_renewed", lease_id=str(session.lease_id), code=code_of(error))
        return True

    async def end(self, session: Session, reason: CloseReason) -> None:
        """End a session; if the coordinator does not hear it, settlement ends it when its window is over."""
        measured = session.untold()
        pool = session.pool
        try:
            await self._threads.run(
                (lambda: pools.end_pool(self._market.uow(), utc_now(), pool.order_id, reason))
                if pool
                else lambda: service.end(self._market.uow(), utc_now(), session.lease_id, reason, measured)
            )
            session.heard(measured)
        except Exception as error:
            log.warning("session_not_ended", lease_id=str(session.lease_id), code=code_of(error))

    def end_aside(self, session: Session, reason: CloseReason) -> None:
        """End a session while whatever goes on goes on."""
        self._aside(session, self.end(session, reason))

    def report(self, session: Session) -> None:
        """Tell the coordinator, aside, what it has not heard of a session that has ended."""
        if session.untold():
            self._aside(session, self._report(session, self._ends.get(session.lease_id)))

    async def close(self) -> None:
        """Return when all that is under way has been told."""
        await asyncio.gather(*self._ends.values())

    async def _report(self, session: Session, ending: asyncio.Task[None] | None) -> None:
        if ending:  # which has a reason, and tells everything
            await asyncio.wait([ending])
        if session.untold():
            await self.end(session, CloseReason.WINDOW_ENDED)

    def _aside(self, session: Session, work: Coroutine[Any, Any, None]) -> None:
        task = self._ends[session.lease_id] = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._over(session.lease_id, done))

    def _over(self, lease: LeaseId, done: asyncio.Task[None]) -> None:
        if self._ends.get(lease) is done:
            del self._ends[lease]
