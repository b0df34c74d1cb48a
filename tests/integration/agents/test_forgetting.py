"""The settlement agent forgets what is kept for a time only."""

from agents.base import Identity
from agents.settlement import SettlementAgent
from backend.bootstrap import new_id, utc_now
from backend.domain.ids import AgentId
from backend.services.forgetting import RESULTS_KEPT
from tests.market import Market


def test_what_an_order_asked_and_got_is_forgotten_by_the_agent_in_time(market: Market) -> None:
    market.node("a", slots=4)
    [order] = market.place()
    executor = market.executor()
    executor.beat()
    market.run(executor)
    agent = SettlementAgent(Identity.of_this_process(AgentId(new_id()), "settlement-0"), market.app)
    agent.opened()
    try:
        agent.tick(utc_now() + 2 * RESULTS_KEPT)
    finally:
        agent.drained()
    with market.app.uow() as uow:
        assert uow.forgetting.is_passed(order.id)
        assert [item.outputs for item in uow.work.of_order(order.id)] == [b""]
