"""The pricing agent: moves every market's spot price with its utilisation."""

import time
from datetime import datetime
from random import random
from typing import ClassVar

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from backend.bootstrap import Swarmex
from backend.domain.events import Topic
from backend.services.pricing import FORGET_BATCH_MAX, forget_prices, reprice

FORGET_EVERY_S = 60.0


class PricingAgent(DirectAgent):
    """Looks every second for markets whose epoch is over, or that have their first ask."""

    name: ClassVar[str] = "pricing"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.OFFERS_CHANGED,)

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        self._chores = (Chore("reprice", self._reprice), Chore("forget", self._forget, FORGET_EVERY_S))

    def tick(self, now: datetime) -> Pace:
        more = run_due(self._chores, now, time.monotonic(), random())
        return Pace.AGAIN if more else Pace.REST

    def _reprice(self, now: datetime) -> bool:
        reprice(self.uow(), now)
        return False

    def _forget(self, now: datetime) -> bool:
        return forget_prices(self.uow(), now) == FORGET_BATCH_MAX
