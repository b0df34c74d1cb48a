"""The pricing agent's duties, one tick at a time."""

from datetime import timedelta

from agents.base import Identity, Pace
from agents.pricing import PricingAgent
from backend.bootstrap import new_id, utc_now
from backend.domain.ids import AgentId
from backend.domain.pricing import PRICE_POINTS_KEPT, Cause, PricePoint
from backend.domain.pricing import Market as Place
from backend.services.pricing import price_history
from backend.storage.price_points import Stretch
from tests.market import ASK, Market


def test_one_tick_opens_a_market_and_forgets_what_is_too_old(market: Market) -> None:
    market.node("a")
    market.executor()
    place = Place("cloud", "south")
    old = PricePoint(place, utc_now() - PRICE_POINTS_KEPT - timedelta(seconds=9), 7, 0, 1, 0, Cause.STEADY)
    with market.app.uow() as uow:
        uow.markets.set_spots({place: (7, 0)}, utc_now())
        uow.price_points.add([old])
        uow.commit()
    agent = PricingAgent(Identity.of_this_process(AgentId(new_id()), "pricing"), market.app)
    assert agent.tick(utc_now()) is Pace.REST
    [opening] = price_history(market.app.uow(), Stretch())
    assert (str(opening.market), opening.spot_nano_per_slot_s, opening.cause) == ("fog/north", ASK, Cause.OPENED)
