"""The allocation agent: clears the markets that have open orders."""

import time
from collections import deque
from datetime import datetime
from random import random
from typing import ClassVar

import structlog

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Topic
from backend.domain.ids import OrderId
from backend.services import epochs, holds, preemption
from backend.services.allocation import clear_markets

COLLECT_S = 0.005  # orders that come together are cleared together, which is fairer and cheaper
PREEMPT_EVERY_S = 0.25
FORGET_EVERY_S = 60.0
LOWER_AFTER_S = 1.0  # most work is over by then, and has given back by itself what its hold had too much
LOWER_EVERY_S = 0.25
LOWER_WAITING_MAX = 100  # epochs; with more, the oldest does not wait any longer

log = structlog.get_logger(__name__)


class AllocationAgent(DirectAgent):
    """Collects for COLLECT_S after a wake-up, then clears; replicas take different markets."""

    name: ClassVar[str] = "allocation"
    channels: ClassVar[tuple[Topic, ...]] = (
        Topic.ORDERS_PLACED,
        Topic.OFFERS_CHANGED,
        Topic.LEASES_ENDED,
    )
    period_s: ClassVar[float] = 0.5

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        self._to_lower: deque[tuple[float, frozenset[OrderId]]] = deque()  # when, and whose holds
        self._chores = (
            Chore("clear", self._clear),
            Chore("lower", self._lower, LOWER_EVERY_S),
            Chore("preempt", self._preempt, PREEMPT_EVERY_S),
            Chore("forget books", self._forget, FORGET_EVERY_S),
        )

    def tick(self, now: datetime) -> Pace:
        time.sleep(COLLECT_S)
        more = run_due(self._chores, now, time.monotonic(), random())
        return Pace.AGAIN if more else Pace.REST

    def _clear(self, now: datetime) -> bool:
        epoch = clear_markets(self.uow, now)
        if epoch.leased:
            self._to_lower.append((time.monotonic() + LOWER_AFTER_S, epoch.leased))
        return epoch.advanced > 0

    def _lower(self, now: datetime) -> bool:
        """Lower the holds of one epoch that is due; returns whether there is another."""
        if self._is_due():
            holds.lower(self.uow(), now, self._to_lower[0][1])
            self._to_lower.popleft()
        return self._is_due()

    def drained(self) -> None:
        """Lower what waits; what fails keeps its hold until its order ends."""
        try:
            for _, orders in self._to_lower:
                holds.lower(self.uow(), utc_now(), orders)
        except Exception as error:  # of any layer below
            log.warning("agent.left_holds_as_they_were", error=repr(error))

    def _is_due(self) -> bool:
        waiting = self._to_lower
        return bool(waiting) and (waiting[0][0] <= time.monotonic() or len(waiting) > LOWER_WAITING_MAX)

    def _preempt(self, now: datetime) -> bool:
        return preemption.evict_due(self.uow, now) > 0

    def _forget(self, now: datetime) -> bool:
        return epochs.forget_books(self.uow(), now) == epochs.FORGET_MAX
