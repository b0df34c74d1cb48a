"""An inference agent as its operator runs it, on a queue that somebody filled with rubbish."""

from collections.abc import Iterator

import pytest
import redis

from backend.bootstrap import utc_now
from backend.domain.dead_letters import DeadLetter, DeathReason
from backend.domain.orders import OrderState
from backend.domain.work import Dispatch
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queues import Priority
from backend.services import relay
from tests.integration.agents.processes import Start
from tests.integration.workers import unit
from tests.market import Market
from tests.unit.messaging.messages import BAD, message
from tests.waiting import until


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(redis_url)
    yield dispatcher
    dispatcher.close()


def letters(market: Market) -> list[DeadLetter]:
    with market.app.uow() as uow:
        return uow.dead_letters.newest(None, None, None, None, False, 100, None)


def test_rubbish_is_in_the_dead_letters_and_the_agent_goes_on(
    market: Market, start: Start, dispatcher: Dispatcher, redis_url: str
) -> None:
    market.node("a")
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    unknown: Dispatch = unit("pool.pool", Priority.LOW)
    rubbish = {what: BAD[what] for what in ("not JSON", "oversized", "pickle", "newer version", "unknown task")}
    with redis.Redis.from_url(redis_url, socket_timeout=60.0) as client:
        client.lpush("pool.pool", *(raw for raw, _ in rubbish.values()))
        client.lpush("pool.pool", message(headers={"swarmex_version": 2}))  # the same one again
    dispatcher.send([unknown])
    [order] = market.place()
    market.clear()
    relay.relay(market.app.uow(), utc_now(), dispatcher.send)
    until(lambda: market.settle() and market.show(order).state == OrderState.SETTLED, "the order is settled")
    until(lambda: len(letters(market)) == len(rubbish) + 1, "all are buried")
    found = {letter.reason: letter for letter in letters(market)}
    assert found.keys() == {reason for _, reason in rubbish.values()} | {DeathReason.UNKNOWN_UNIT}
    assert found[DeathReason.UNKNOWN_UNIT].unit_id == unknown.unit_id
    assert found[DeathReason.UNKNOWN_VERSION].attempts == 2
    assert {letter.queue for letter in found.values()} == {"pool.pool"}
    assert agent.stop() == 0
    done = [fact for fact in agent.events("unit.done") if fact["committed"]]
    assert [(fact["trace_id"], len(fact["span_id"])) for fact in done] == [(done[0]["unit_id"].replace("-", ""), 16)]
