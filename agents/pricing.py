"""The pricing agent: moves every market's spot price with its utilisation, and checks what nodes answered."""

import time
from contextlib import suppress
from datetime import datetime
from random import random
from typing import ClassVar

from agents.base import Identity, Pace
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from agents.presence import TELL_EVERY_S, Presence
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.events import Topic
from backend.services import canaries
from backend.services.pricing import FORGET_BATCH_MAX, forget_prices, reprice

FORGET_EVERY_S = 60.0
CANARIES_EVERY_S = 60.0
CANARIES_MAX = 5  # of at most 2 s each, run twice: prices wait no longer than that


class PricingAgent(DirectAgent):
    """Looks every second for markets whose epoch is over, or that have their first ask."""

    name: ClassVar[str] = "pricing"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.OFFERS_CHANGED,)

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        duties = (
            Chore("reprice", self._reprice),
            Chore("forget", self._forget, FORGET_EVERY_S),
            Chore("canaries", self._check, CANARIES_EVERY_S),
        )
        self._presence = Presence(app, self.name, identity, [duty.name for duty in duties])
        self._chores = (*duties, Chore("presence", self._presence.tell, TELL_EVERY_S))

    def tick(self, now: datetime) -> Pace:
        more = run_due(self._chores, now, time.monotonic(), random())
        return Pace.AGAIN if more else Pace.REST

    def _reprice(self, now: datetime) -> bool:
        reprice(self.uow(), now)
        return False

    def _forget(self, now: datetime) -> bool:
        return forget_prices(self.uow(), now) == FORGET_BATCH_MAX

    def _check(self, now: datetime) -> bool:
        """A few items of real orders, chosen by a seed that nobody knows before."""
        canaries.check(self.uow(), now, None, self.app.objects, str(new_id()), most=CANARIES_MAX)
        return False

    def drained(self) -> None:
        with suppress(Exception):  # of any layer below: then the fact runs out
            self._presence.end(utc_now())
