"""The sessions of this process, in lines: opened on demand, paid by windows, ended when idle, dropped when revoked."""

import asyncio
import time
from collections.abc import Callable, Collection
from random import Random

import structlog

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.errors import Unavailable
from backend.domain.ids import GatewayId, NodeId, OrderId
from backend.domain.orders import CloseReason
from backend.gateway.errors import Busy, code_of
from backend.gateway.leases.opening import Opener, Wanted, open_session
from backend.gateway.leases.pool_opening import open_pooled
from backend.gateway.leases.session import Session, SessionKey
from backend.gateway.limits import LINE_KEPT_S, LINES_MAX, SESSION_TICK_S, SESSIONS_MAX
from backend.gateway.routing.line import Line
from backend.gateway.routing.router_view import RouterFigures, router_figures
from backend.gateway.routing.upkeep import Upkeep
from backend.gateway.threads import Threads
from backend.messaging.spans import span
from backend.services.pools import POOL_TIER

log = structlog.get_logger(__name__)


class Sessions:
    """One line of sessions per (spender, model, tier, SLA or none); everything here runs in one event loop."""

    def __init__(
        self,
        market: Swarmex,
        threads: Threads,
        refuses: Callable[[str], bool],
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refuses = refuses
        self._random = random or Random()  # noqa: S311  # spreads load, guards nothing
        self._clock = clock
        self._lines: dict[SessionKey, Line] = {}
        self._opener = Opener(market, threads)
        self._upkeep = Upkeep(market, threads)
        self.gateway_id = GatewayId(new_id())

    @property
    def pools(self) -> list[OrderId]:
        """The leases that all users share, for which the process must be heard of."""
        return [session.pool.order_id for session in self._all() if session.pool]

    @property
    def lines(self) -> list[Line]:
        """All lines as they are now."""
        return list(self._lines.values())

    def figures(self) -> list[RouterFigures]:
        """What the router does at the moment, for monitoring; any thread may ask."""
        return router_figures(self.lines, self._clock())

    async def first(self, wanted: Wanted) -> Session:
        """A session for a request, opened if its line has none; raises the reason why none can be had.

        Whoever asks while the first of a line is being opened waits for the same one. Where more are needed, another
        is opened meanwhile.
        """
        line = self._line(wanted.key)
        line.budget.request(self._clock())
        session = self._chosen(line, wanted)
        if session is None:
            await self._revive(line)
            session = self._chosen(line, wanted)
        if session is None:
            session = await self._opened(line, wanted)
            if not session.within(wanted.limit_nano_per_slot_s):
                self.unpaid(session)
            session.require_within(wanted.limit_nano_per_slot_s)
        return self._used(session)

    async def another(self, wanted: Wanted, tried: Collection[NodeId]) -> Session | None:
        """A session for a request that these nodes did not take; None when none can be had soon.

        Opened if its line has none on other nodes; not again until some time after a refusal.
        """
        line = self._line(wanted.key)
        try:
            session = self._chosen(line, wanted, tried)
            if session is None and (line.opening or (line.has_room() and line.growth.allowed(self._clock()))):
                session = await self._opened(line, wanted, line.avoided(self._clock()) | set(tried))
        except Exception as error:  # whatever it is, the request has a reason of its own to fail
            log.info("no_other_session", model=wanted.key.model, code=code_of(error))
            return None
        if session is None or session.node_id in tried or not session.within(wanted.limit_nano_per_slot_s):
            return None
        return self._used(session)

    def may_retry(self, wanted: Wanted) -> bool:
        """Whether one more retry is within the budget of the line; then it is taken from it."""
        return self._line(wanted.key).budget.retry(self._clock())

    def busy(self, session: Session) -> None:
        """Its node takes no more at the moment."""
        if line := self._lines.get(session.key):
            line.busy(session)

    def failed(self, session: Session, *, by_node: bool) -> None:
        """A request on it failed, by the node's doing or, perhaps, by its own."""
        if line := self._lines.get(session.key):
            line.failed(session, self._clock(), by_node=by_node)

    def lost(self, session: Session, *, gone: bool) -> None:
        """End a session, so that requests are leased another: its node is gone, or another agent serves there."""
        if gone and (line := self._lines.get(session.key)):
            line.lose(session, self._clock())
        if self._drop(session, CloseReason.NODE_LOST):
            self._upkeep.end_aside(session, CloseReason.NODE_LOST)

    def unpaid(self, session: Session) -> None:
        """Nobody pays for a request on it: a shared lease that has served nobody yet is given back at once."""
        if session.pool and session.unused and self._drop(session, CloseReason.SESSION_IDLE):
            self._upkeep.end_aside(session, CloseReason.SESSION_IDLE)

    def answered(self, session: Session) -> None:
        """A request is over, well or not: of a session that is kept no longer, the last one tells how it went."""
        session.used_at = utc_now()
        if session.key.sla and session.requests.taken == 0 and not self._kept(session):
            self._upkeep.report(session)

    def granted(self) -> None:
        """The market may have decided: those who wait for a lease look now."""
        self._opener.granted.ring()

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
        for line in self.lines:
            line.tick(self._clock())
            self._tidy(line)
        kept = self._all()
        if not kept:
            return
        for session in await self._upkeep.ended(kept):
            self._forget(session)
        await asyncio.gather(*(self._attend(session) for session in kept if self._kept(session)))

    async def close(self) -> None:
        """End every session, so that nobody pays for a gateway that is gone."""
        opening = [line.opening for line in self.lines if line.opening]
        for task in opening:
            task.cancel()
        ends = [self._end(session, CloseReason.SESSION_IDLE) for session in self._all()]
        await asyncio.gather(*ends, *opening, return_exceptions=True)
        await self._upkeep.close()
        await self._opener.close()

    @staticmethod
    def _used(session: Session) -> Session:
        """It is wanted, so it is not idle; a shared one only by what is paid for, else it is kept for free."""
        if session.pool is None:
            session.used_at = utc_now()
        return session

    def _chosen(self, line: Line, wanted: Wanted, tried: Collection[NodeId] = ()) -> Session | None:
        """One of those that there are; another is opened beside them if they are too few."""
        now_s = self._clock()
        try:
            session = line.choose(wanted.limit_nano_per_slot_s, utc_now(), now_s, tried)
        except Busy:
            self._grow(line, wanted, now_s)
            raise
        self._grow(line, wanted, now_s)
        return session

    def _grow(self, line: Line, wanted: Wanted, now_s: float) -> None:
        """Open another lease beside those that there are, if they are too few."""
        if line.sessions and line.wants_another(now_s) and self._room():
            self._begin_opening(line, wanted, line.avoided(now_s))

    async def _revive(self, line: Line) -> None:
        """Buy the next window of sessions that had no money for it: some may have come. Raises what still lacks."""
        for session in [s for s in line.sessions if s.refused and not s.paid(utc_now())]:
            if not await self._upkeep.renew(session):
                self._forget(session)
            elif session.refused:
                raise session.refused

    async def _opened(self, line: Line, wanted: Wanted, never: Collection[NodeId] = ()) -> Session:
        task = line.opening
        if task is None:
            if not self._room():
                raise Unavailable(f"{SESSIONS_MAX} sessions are open", code="too_many_sessions")
            task = self._begin_opening(line, wanted, never)
        return await asyncio.shield(task)

    def _begin_opening(self, line: Line, wanted: Wanted, never: Collection[NodeId]) -> asyncio.Task[Session]:
        task = line.opening = asyncio.create_task(self._open(line, wanted, frozenset(never)))
        task.add_done_callback(lambda done: self._settle(line, done))
        return task

    def _settle(self, line: Line, done: asyncio.Task[Session]) -> None:
        line.opening = None
        if done.cancelled():
            return
        error = done.exception()  # nobody else may have waited for it
        if isinstance(error, Exception):
            line.growth.refused(self._clock())
            log.info("session_not_opened", model=line.key.model, code=code_of(error), leases=len(line.sessions))
        else:
            line.growth.granted(beside_others=len(line.sessions) > 1)

    async def _open(self, line: Line, wanted: Wanted, never: frozenset[NodeId]) -> Session:
        held = sum(session.slots for session in line.sessions)
        key = wanted.key
        with span("session.open", swarmex__model=key.model, swarmex__tier=str(key.tier)):
            if key.tier == POOL_TIER:
                session = await open_pooled(self._opener, self.gateway_id, key, never)
            else:
                session = await open_session(self._opener, wanted, never, held)
        for outlived in [kept for kept in line.sessions if not kept.paid(utc_now())]:
            self._forget(outlived)
        line.add(session)
        log.info("session_opened", lease_id=str(session.lease_id), node=session.node_name, leases=len(line.sessions))
        return session

    async def _attend(self, session: Session) -> None:
        now = utc_now()
        if session.idle(now):
            await self._end(session, CloseReason.SESSION_IDLE)
        elif session.due(now) and not await self._upkeep.renew(session):
            self._forget(session)

    async def _end(self, session: Session, reason: CloseReason) -> None:
        self._drop(session, reason)
        await self._upkeep.end(session, reason)

    def _forget(self, session: Session) -> None:
        """Keep a session no longer that has ended without us; what was measured of it is told all the same."""
        self._drop(session, "ended_elsewhere")
        self._upkeep.report(session)

    def _drop(self, session: Session, reason: str) -> bool:
        """Keep a session no longer; whether it was kept."""
        line = self._lines.get(session.key)
        dropped = line is not None and line.drop(session)
        if dropped:
            log.info("session_dropped", lease_id=str(session.lease_id), reason=reason)
        return dropped

    def _line(self, key: SessionKey) -> Line:
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= LINES_MAX:
                raise Unavailable(f"{LINES_MAX} lines of sessions are in use", code="too_many_sessions")
            line = self._lines[key] = Line(key, self._refuses, self._random)
        line.used_s = self._clock()
        return line

    def _tidy(self, line: Line) -> None:
        """Forget a line that has had nothing for longer than any request could wait for it."""
        if not line.sessions and line.opening is None and self._clock() - line.used_s > LINE_KEPT_S:
            del self._lines[line.key]

    def _all(self) -> list[Session]:
        return [session for line in self._lines.values() for session in line.sessions]

    def _kept(self, session: Session) -> bool:
        line = self._lines.get(session.key)
        return line is not None and any(session is kept for kept in line.sessions)

    def _room(self) -> bool:
        return sum(len(line.sessions) + (line.opening is not None) for line in self._lines.values()) < SESSIONS_MAX
