"""The allocation agent: clears the markets that have open orders."""

import time
from datetime import datetime
from random import random
from typing import ClassVar

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from backend.bootstrap import Swarmex
from backend.domain.events import Topic
from backend.services import epochs, preemption
from backend.services.allocation import clear_markets

COLLECT_S = 0.005  # orders that come together are cleared together, which is fairer and cheaper
PREEMPT_EVERY_S = 0.25
FORGET_EVERY_S = 60.0


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
        self._chores = (
            Chore("clear", self._clear),
            Chore("preempt", self._preempt, PREEMPT_EVERY_S),
            Chore("forget books", self._forget, FORGET_EVERY_S),
        )

    def tick(self, now: datetime) -> Pace:
        time.sleep(COLLECT_S)
        more = run_due(self._chores, now, time.monotonic(), random())
        return Pace.AGAIN if more else Pace.REST

    def _clear(self, now: datetime) -> bool:
        return clear_markets(self.uow, now) > 0

    def _preempt(self, now: datetime) -> bool:
        return preemption.evict_due(self.uow, now) > 0

    def _forget(self, now: datetime) -> bool:
        return epochs.forget_books(self.uow(), now) == epochs.FORGET_MAX
