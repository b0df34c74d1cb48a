"""The allocation agent: clears the markets that have open orders."""

import time
from datetime import datetime
from typing import ClassVar

from agents.base import Pace
from agents.direct import DirectAgent
from backend.domain.events import Topic
from backend.services.allocation import clear_markets

COLLECT_S = 0.005  # orders that come together are cleared together, which is fairer and cheaper


class AllocationAgent(DirectAgent):
    """Collects for COLLECT_S after a wake-up, then clears; replicas take different markets."""

    name: ClassVar[str] = "allocation"
    channels: ClassVar[tuple[Topic, ...]] = (
        Topic.ORDERS_PLACED,
        Topic.OFFERS_CHANGED,
        Topic.LEASES_ENDED,
    )
    period_s: ClassVar[float] = 0.5

    def tick(self, now: datetime) -> Pace:
        time.sleep(COLLECT_S)
        cleared = clear_markets(self.uow, now)
        return Pace.AGAIN if cleared else Pace.REST
