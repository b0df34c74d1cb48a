"""A line: the leases on different nodes that requests of one kind share, and which of them serves the next request."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from random import Random

import structlog

from backend.domain.ids import NodeId
from backend.gateway.errors import Busy
from backend.gateway.leases.session import Session, SessionKey
from backend.gateway.limits import DEMAND_DECAY_S, LEASES_PER_LINE_MAX, LOST_NODE_S, OUTLIER_INTERVAL_S
from backend.gateway.routing.choice import less_loaded
from backend.gateway.routing.growth import Growth, enough
from backend.gateway.routing.outliers import has_failed_in_row, may_eject, sweep
from backend.gateway.routing.peak_ewma import PeakEwma
from backend.gateway.routing.retry_budget import RetryBudget

log = structlog.get_logger(__name__)


class Line:
    """Chooses, leaves out and rests; it neither opens, pays nor ends sessions. `now_s` is of a clock without jumps.

    `sessions` has the warmest first: with little demand those at its end get nothing, and become idle. `refuses` tells
    of an endpoint whether its breaker is open.
    """

    def __init__(self, key: SessionKey, refuses: Callable[[str], bool], random: Random) -> None:
        self.key = key
        self.sessions: list[Session] = []
        self.opening: asyncio.Task[Session] | None = None
        self.growth = Growth()
        self.budget = RetryBudget()
        self.awake = 1
        self.used_s = 0.0
        self._refuses = refuses
        self._random = random
        self._demand = PeakEwma(DEMAND_DECAY_S)
        self._lost: dict[NodeId, float] = {}
        self._swept_s: float | None = None

    @property
    def in_flight(self) -> int:
        """How many requests are under way on all of its leases."""
        return sum(session.target.in_flight for session in self.sessions)

    def choose(
        self, limit_nano_per_slot_s: int | None, now: datetime, now_s: float, tried: Collection[NodeId] = ()
    ) -> Session | None:
        """The session for a request, which must take its place at once; None when none is paid for on other nodes.

        Raises Conflict when all cost more than the limit, Busy when those that do not are full.
        """
        paid = [session for session in self.sessions if session.paid(now) and session.node_id not in tried]
        if not paid:
            return None
        within = [session for session in paid if session.within(limit_nano_per_slot_s)]
        if not within:
            min(paid, key=lambda session: session.price_nano_per_slot_s).require_within(limit_nano_per_slot_s)
        sound = self._sound(within, now_s)
        self._look(len(sound), now_s)
        free = [session for session in within if not session.requests.full]
        if not free:
            raise Busy("too many requests are under way on every lease")
        # Without any that nothing speaks against: one that its breaker lets in, or else one that says why not.
        best = (
            [session for session in sound if not session.requests.full]
            or [session for session in free if not self._refuses(session.endpoint)]
            or free
        )
        return less_loaded(best[: self.awake], lambda session: session.target.load(now_s), self._random)

    def wants_another(self, now_s: float) -> bool:
        """Whether another lease should be opened beside those that there are."""
        return self.has_room() and self.opening is None and self.growth.wanted(now_s)

    def has_room(self) -> bool:
        """Whether it may have more leases."""
        return len(self.sessions) < LEASES_PER_LINE_MAX

    def avoided(self, now_s: float) -> set[NodeId]:
        """Nodes on which another lease would be no help: those it has, and those it could not reach lately."""
        self._lost = {node: at_s for node, at_s in self._lost.items() if now_s - at_s < LOST_NODE_S}
        return {session.node_id for session in self.sessions} | self._lost.keys()

    def add(self, session: Session) -> None:
        """One more, the coldest."""
        self.sessions.append(session)

    def drop(self, session: Session) -> bool:
        """One less; whether it was there."""
        if all(session is not kept for kept in self.sessions):
            return False
        self.sessions = [kept for kept in self.sessions if kept is not session]
        return True

    def lose(self, session: Session, now_s: float) -> None:
        """Its node cannot be reached: for a while the line does not grow onto it."""
        if len(self._lost) < 2 * LEASES_PER_LINE_MAX:
            self._lost[session.node_id] = now_s

    def busy(self, session: Session) -> None:
        """Its node takes no more: others are asked first, and one more is wanted."""
        self._cool(session)
        self.growth.fall_short()

    def failed(self, session: Session, now_s: float, *, by_node: bool) -> None:
        """A request on it failed, `by_node` unless the request may have brought that about itself.

        Once too often, and it is left out. If it is alone, another is wanted: but never paid for requests that are bad.
        """
        if by_node:
            self._cool(session)
        if not has_failed_in_row(session.target.health):
            return
        if not self._eject(session, now_s, "failures_in_row") and by_node:
            self.growth.fall_short()

    def tick(self, now_s: float) -> None:
        """Hold its nodes against each other at the end of an interval; let rest what is not needed any more."""
        if self._swept_s is None or now_s - self._swept_s >= OUTLIER_INTERVAL_S:
            self._swept_s = now_s
            ejected = sweep([session.target.health for session in self.sessions], now_s)
            for session in list(self.sessions):
                if any(session.target.health is health for health in ejected):
                    self._leave_out(session, "stands_out")
        self._demand.observe(self.in_flight, now_s)
        needed = enough(self._demand.value(now_s), len(self.sessions))
        if needed < self.awake:  # the slowest of those that were awake rest
            awake = sorted(self.sessions[: self.awake], key=lambda session: session.target.latency_s(now_s))
            self.sessions = awake + self.sessions[self.awake :]
        self.awake = needed

    def _sound(self, within: Sequence[Session], now_s: float) -> list[Session]:
        """Those of these that nothing speaks against; one whose breaker is open is left out from now on."""
        sound = []
        for session in within:
            if self._refuses(session.endpoint):  # it lets somebody try again soon: on lines with other nodes, nobody
                self._eject(session, now_s, "circuit_open")
            elif not session.target.health.ejected(now_s):
                sound.append(session)
        return sound

    def _look(self, sound: int, now_s: float) -> None:
        """Take note of how much is asked of so many, one request from now included."""
        in_flight = self.in_flight + 1
        self._demand.observe(in_flight, now_s)
        self.awake = max(self.awake, enough(self._demand.value(now_s), len(self.sessions)))
        if not sound:
            self.growth.fall_short()
        self.growth.look(in_flight, sound, now_s)

    def _eject(self, session: Session, now_s: float, reason: str) -> bool:
        """Leave it out for a while, unless it is already; False if too few would be left."""
        if session.target.health.ejected(now_s):
            return True
        if not may_eject([kept.target.health for kept in self.sessions], now_s):
            return False
        session.target.health.eject(now_s)
        self._leave_out(session, reason)
        return True

    def _cool(self, session: Session) -> None:
        """Others go before it from now on."""
        if any(session is kept for kept in self.sessions):
            self.sessions = [kept for kept in self.sessions if kept is not session] + [session]

    def _leave_out(self, session: Session, reason: str) -> None:
        """It was ejected: when it is back nothing is known of it, and it is the coldest."""
        session.target.forget()
        self._cool(session)
        log.warning(
            "node_ejected",
            lease_id=str(session.lease_id),
            node=session.node_name,
            times=session.target.health.ejections,
            reason=reason,
        )
