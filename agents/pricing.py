"""The pricing agent: moves every market's spot price with its utilisation."""

from datetime import datetime
from typing import ClassVar

from agents.base import Pace
from agents.direct import DirectAgent
from backend.domain.events import Topic
from backend.services.pricing import reprice


class PricingAgent(DirectAgent):
    """Looks every second for markets whose epoch is over, or that have their first ask."""

    name: ClassVar[str] = "pricing"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.OFFERS_CHANGED,)

    def tick(self, now: datetime) -> Pace:
        reprice(self.uow(), now)
        return Pace.REST
