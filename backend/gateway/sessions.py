"""The sessions of this process: opened on first use, prepaid in windows, ended when idle, dropped when revoked."""

import asyncio
from collections.abc import Sequence

import structlog

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, NotFound, SwarmexError, Unavailable
from backend.domain.leases import LeaseState
from backend.domain.orders import CloseReason
from backend.gateway import opening
from backend.gateway.errors import code_of
from backend.gateway.limits import SESSION_TICK_S, SESSIONS_MAX
from backend.gateway.session import Session, SessionKey
from backend.gateway.threads import Threads
from backend.services import sessions as service

log = structlog.get_logger(__name__)


class Sessions:
    """At most one session per (spender, model, tier, SLA or none); everything here runs in one event loop."""

    def __init__(self, market: Swarmex, threads: Threads) -> None:
        self._market = market
        self._threads = threads
        self._live: dict[SessionKey, Session] = {}
        self._opening: dict[SessionKey, asyncio.Task[Session]] = {}
        self._reports: set[asyncio.Task[None]] = set()  # one per session that is kept no longer
        self._granted = opening.Bell()

    async def get(
        self, principal: Principal, model: str, tier: str, limit_nano_per_slot_s: int | None, *, sla: bool = False
    ) -> Session:
        """The caller's session, opened if there is none; raises the reason why none can be had.

        Whoever asks while it is being opened waits for the same one.
        """
        key = SessionKey(principal.spender, model, tier, sla)
        live = self._live.get(key)
        if live is not None and live.refused is not None and not live.paid(utc_now()):
            if refused := await self._renew(live):  # money may have come meanwhile
                raise refused
            live = self._live.get(key)
        if live is None or not live.paid(utc_now()):
            live = await self._opened(key, principal, limit_nano_per_slot_s)
        live.require_within(limit_nano_per_slot_s)
        live.used_at = utc_now()
        return live

    def granted(self) -> None:
        """The market may have decided: those who wait for a lease look now."""
        self._granted.ring()

    async def run(self) -> None:
        """Keep the sessions until cancelled."""
        while True:
            await asyncio.sleep(SESSION_TICK_S)
            try:
                await self.tick()
            except Exception as error:
                log.warning("sessions_unattended", code=code_of(error))

    async def tick(self) -> None:
        """One look at every session: drop what was ended elsewhere, end what is idle, renew what is used."""
        kept = list(self._live.values())
        if not kept:
            return
        states = await self._threads.run(
            lambda: service.states(self._market.uow(), [session.lease_id for session in kept])
        )
        active = [session for session in kept if states.get(session.lease_id) == LeaseState.ACTIVE]
        for session in kept:
            if session not in active:
                self._forget(session)
        await asyncio.gather(*(self._attend(session) for session in active))

    async def lost(self, session: Session) -> None:
        """The node of a session cannot be reached: end it, so that the next request is leased another."""
        await self._end(session, CloseReason.NODE_LOST)

    def answered(self, session: Session) -> None:
        """A request is over, well or not: of a session that is kept no longer, the last one tells how it went."""
        if session.key.sla and session.requests.taken == 0 and self._live.get(session.key) is not session:
            self._report(session)

    async def close(self) -> None:
        """End every session, so that nobody pays for a gateway that is gone."""
        for task in self._opening.values():
            task.cancel()
        await self._end_all(list(self._live.values()))
        await asyncio.gather(*self._reports)

    async def _end_all(self, sessions: Sequence[Session]) -> None:
        await asyncio.gather(*(self._end(session, CloseReason.SESSION_IDLE) for session in sessions))

    async def _opened(self, key: SessionKey, principal: Principal, limit_nano_per_slot_s: int | None) -> Session:
        task = self._opening.get(key)
        if task is None:
            if len(self._live) + len(self._opening) >= SESSIONS_MAX:
                raise Unavailable(f"{SESSIONS_MAX} sessions are open", code="too_many_sessions")
            task = asyncio.create_task(self._open(key, principal, limit_nano_per_slot_s))
            self._opening[key] = task
            task.add_done_callback(lambda done: self._settle(key, done))
        return await asyncio.shield(task)

    def _settle(self, key: SessionKey, done: asyncio.Task[Session]) -> None:
        del self._opening[key]
        if not done.cancelled():
            done.exception()  # read, in case all who waited have left

    async def _open(self, key: SessionKey, principal: Principal, limit_nano_per_slot_s: int | None) -> Session:
        session = await opening.open_session(
            self._market, self._threads, self._granted, key, principal, limit_nano_per_slot_s
        )
        if outlived := self._live.get(key):
            self._forget(outlived)
        self._live[key] = session
        log.info("session_opened", lease_id=str(session.lease_id), node=session.node_name)
        return session

    async def _attend(self, session: Session) -> None:
        now = utc_now()
        if session.idle(now):
            await self._end(session, CloseReason.SESSION_IDLE)
        elif session.due(now):
            await self._renew(session)

    async def _renew(self, session: Session) -> SwarmexError | None:
        """Buy the next window. Without money the session is paused and tried again; in silence its window runs out."""
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
            return error
        except (Conflict, NotFound):
            self._forget(session)
        except Exception as error:
            log.warning("session_not_renewed", lease_id=str(session.lease_id), code=code_of(error))
        return None

    async def _end(self, session: Session, reason: CloseReason) -> None:
        """End a session; if the coordinator does not hear it, settlement ends it when its window is over."""
        self._drop(session, reason)
        measured = session.untold()
        try:
            await self._threads.run(
                lambda: service.end(self._market.uow(), utc_now(), session.lease_id, reason, measured)
            )
            session.heard(measured)
        except Exception as error:
            log.warning("session_not_ended", lease_id=str(session.lease_id), code=code_of(error))

    def _forget(self, session: Session) -> None:
        """Keep a session no longer that has ended without us; what was measured of it is told all the same."""
        self._drop(session, "ended_elsewhere")
        self._report(session)

    def _report(self, session: Session) -> None:
        """Tell the coordinator, aside from whatever goes on, what it has not heard of a session that has ended."""
        if session.untold():
            task = asyncio.create_task(self._end(session, CloseReason.WINDOW_ENDED))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)

    def _drop(self, session: Session, reason: str) -> None:
        if self._live.get(session.key) is session:
            del self._live[session.key]
            log.info("session_dropped", lease_id=str(session.lease_id), reason=reason)
