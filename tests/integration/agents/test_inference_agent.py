"""The inference agent as its operator runs it: a process with a queue, a server, and very few rights."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.orders import OrderState
from backend.messaging.dispatcher import Dispatcher
from backend.services import models as registry
from backend.services import relay, sweeper
from tests.integration.agents.processes import AgentProcess, Start, deployment
from tests.market import Market
from tests.onnx_files import request, write_slow_on_demand
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(redis_url)
    yield dispatcher
    dispatcher.close()


def agents(market: Market) -> list[tuple[str, str | None, str | None, str | None]]:
    """State, queue, endpoint and token of every agent."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(text("SELECT state, queue, endpoint, token FROM agents ORDER BY started_at"))
        return [tuple(row) for row in rows]


def relayed(market: Market, dispatcher: Dispatcher) -> int:
    """Send what is owed by way of Redis."""
    return relay.relay(market.app.uow(), utc_now(), dispatcher.send)


def register_slow(market: Market, folder: Path) -> None:
    path = write_slow_on_demand(folder / "slow.onnx")
    registry.register_model(market.app.uow(), utc_now(), market.app.objects, "slow", path)


def test_it_runs_what_its_queue_brings_and_leaves_when_asked_to(
    market: Market, start: Start, dispatcher: Dispatcher
) -> None:
    market.node("a")
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    [order] = market.place(requests=[request((1.0, 2.0))] * 10, workload="batch")
    market.clear()
    assert relayed(market, dispatcher) >= 1
    until(lambda: market.settle() and market.show(order).state == OrderState.SETTLED, "the order is settled")
    assert agent.stop() == 0
    assert [state for state, *_ in agents(market)] == ["stopped"]
    assert sum(fact["committed"] for fact in agent.events("unit.done")) == 10


def test_it_serves_the_node_that_it_was_started_for(market: Market, start: Start, dispatcher: Dispatcher) -> None:
    from backend.domain.nodes import NodeSpec
    from backend.services import nodes

    spec = NodeSpec("own", "fog", "north", 1, None)
    node = nodes.register_node(market.app.uow(), utc_now(), market.provider.account_id, spec)
    nodes.offer(market.app.uow(), utc_now(), node.id, 1_000_000, market.provider)
    agent = start("inference", "--node", str(node.id))
    until(agent.says("consumer.ready"), "it consumes")
    assert [queue for _, queue, *_ in agents(market)] == [f"node.{node.id}"]
    [order] = market.place()
    market.clear()
    relayed(market, dispatcher)
    until(lambda: market.settle() and market.show(order).state == OrderState.SETTLED, "the order is settled")


def test_it_answers_real_time_requests_of_whoever_has_its_token(market: Market, start: Start) -> None:
    start("inference", "--pool", "pool")
    until(lambda: agents(market), "it is registered")
    [(_, _, endpoint, token)] = agents(market)
    answer = httpx.post(
        f"{endpoint}/v2/models/doubling/infer",
        json=request((1.0, 2.0)),
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE_S,
    )
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]
    assert httpx.post(f"{endpoint}/v2/models/doubling/infer", json={}, timeout=PATIENCE_S).status_code == 401


def test_its_log_has_no_secret_in_it(market: Market, start: Start, node_database_url: str, redis_url: str) -> None:
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    [(_, _, _, token)] = agents(market)
    agent.stop()
    written = agent.log()
    passwords = [url.split("@")[0].rsplit(":", 1)[1] for url in (node_database_url, redis_url)]
    assert "agent.started" in written
    assert token is not None
    assert not any(secret in written for secret in (token, *passwords))


def test_a_drain_in_mid_unit_finishes_the_unit(
    market: Market, start: Start, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    register_slow(market, tmp_path)
    market.node("a")
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    [order] = market.place(model="slow", requests=[request((1.0, 400.0))])
    market.clear()
    relayed(market, dispatcher)
    until(agent.says("model.fetched"), "it has begun")
    assert agent.stop() == 0
    market.settle()
    assert market.show(order).state == OrderState.SETTLED


def test_a_coordinator_can_ask_it_to_drain(market: Market, start: Start) -> None:
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE agents SET state = 'draining'"))
    assert agent.process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_killed_in_mid_item_its_work_runs_again_elsewhere_and_is_charged_once(
    market: Market, start: Start, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    register_slow(market, tmp_path)
    market.node("a")
    first = start("inference", "--pool", "pool")
    until(first.says("consumer.ready"), "the first consumes")
    [order] = market.place(model="slow", requests=[request((1.0, 1_000.0))])
    market.clear()
    relayed(market, dispatcher)
    until(first.says("model.fetched"), "the first has begun")
    first.stop(signal.SIGKILL)
    second = start("inference", "--pool", "pool")
    until(second.says("consumer.ready"), "the second consumes")

    def settled() -> bool:
        sweeper.sweep(market.app.uow(), utc_now())
        relayed(market, dispatcher)
        market.settle()
        return market.show(order).state == OrderState.SETTLED

    until(settled, "the order is settled")
    with market.app.engine.connect() as connection:
        [(attempt, agent_id)] = connection.execute(text("SELECT attempt, agent_id FROM work_items"))
    assert attempt == 2
    assert second.events("agent.started")[0]["agent_id"] == str(agent_id)


def test_it_goes_on_after_redis_lost_everything(
    market: Market, start: Start, dispatcher: Dispatcher, redis_url: str
) -> None:
    market.node("a")
    agent = start("inference", "--pool", "pool")
    until(agent.says("consumer.ready"), "it consumes")
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    [order] = market.place()
    market.clear()
    relayed(market, dispatcher)
    until(lambda: market.settle() and market.show(order).state == OrderState.SETTLED, "the order is settled")


@pytest.mark.parametrize("setting", ["SWARMEX_NODE_DATABASE_URL", "SWARMEX_REDIS_URL"])
def test_without_a_setting_it_says_which_and_does_not_start(market: Market, setting: str) -> None:
    agent = AgentProcess(deployment(market, "postgresql://"), "inference", "--pool", "pool", without=[setting])
    assert agent.process.wait(PATIENCE_S) == 1
    assert setting in agent.log()
