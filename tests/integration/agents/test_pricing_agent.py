"""The pricing agent's duties, one tick at a time."""

from datetime import timedelta

from sqlalchemy import text

from agents.base import Identity, Pace
from agents.pricing import CANARIES_MAX, PricingAgent
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


def test_the_agent_checks_a_few_answers_of_nodes_by_itself(market: Market) -> None:
    market.node("a", slots=50)
    executor = market.executor()
    market.place(CANARIES_MAX + 3)
    market.clear()
    executor.commit(executor.claim(market.dispatched()))  # what it answers is not what the model says
    market.settle()
    agent = PricingAgent(Identity.of_this_process(AgentId(new_id()), "pricing"), market.app)
    agent.tick(utc_now())
    with market.app.engine.connect() as connection:
        found = connection.execute(
            text("SELECT coalesce(sum(count), 0) FROM trust_events WHERE kind = 'canary_failed'")
        ).scalar_one()
    assert 1 <= found <= CANARIES_MAX
