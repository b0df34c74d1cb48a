"""Agents that tell Prometheus of themselves, as processes."""

import socket
from contextlib import closing

import httpx
import redis
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from backend.bootstrap import utc_now
from backend.domain.events import Event, Topic
from backend.messaging.channels import channel_of
from backend.messaging.dispatcher import Dispatcher
from backend.services.relay import relay
from tests.integration.agents.processes import Start
from tests.market import Market
from tests.onnx_files import request
from tests.waiting import PATIENCE_S, until


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def samples(port: int) -> list[Sample]:
    """All that the agent tells; nothing before it listens."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    except httpx.TransportError:
        return []
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def figures(port: int) -> dict[str, float]:
    """What the agent tells, by name; labels are left out."""
    return {sample.name: sample.value for sample in samples(port)}


def labelled(port: int) -> dict[str, float]:
    """What the agent tells, by name and the labels' values."""
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for sample in samples(port)
    }


def test_an_agent_with_a_port_tells_that_its_loop_turns_and_what_it_uses(market: Market, start: Start) -> None:
    port = free_port()
    agent = start("allocation", metrics_port=port)
    until(lambda: figures(port).get("swarmex_agent_ticks_total", 0) >= 2, "its loop turns")
    told = figures(port)
    assert told["swarmex_agent_tick_failures_total"] == 0
    assert told["process_resident_memory_bytes"] > 10 << 20
    assert agent.stop() == 0


def test_an_inference_agent_tells_how_its_tasks_ended(market: Market, start: Start) -> None:
    port = free_port()
    market.node("a")
    agent = start("inference", "--pool", "pool", metrics_port=port)
    until(agent.says("consumer.ready"), "it consumes")
    market.place(requests=[request((1.0, 2.0))])
    market.clear()
    relay(market.app.uow(), utc_now(), Dispatcher(market.app.redis_url).send)
    until(lambda: figures(port).get("swarmex_task_seconds_count") == 1, "the unit of its order ran")
    told = labelled(port)
    assert told["swarmex_breaker_state bus:redis bus closed"] == 1
    assert told["swarmex_bus_events_lost_total corrupt"] == 0
    assert told["swarmex_models_loaded"] == 1
    assert told["swarmex_model_call_seconds doubling 1"] > 0


def test_a_settlement_agent_tells_of_its_breakers_and_of_what_its_bus_refused(market: Market, start: Start) -> None:
    port = free_port()
    start("settlement", metrics_port=port)
    closed = {"swarmex_breaker_state bus:redis bus closed", "swarmex_breaker_state queues:redis queues closed"}
    until(lambda: closed <= {name for name, value in labelled(port).items() if value == 1}, "both are told of")
    channel = channel_of(market.app.settings.bus_namespace, Event(Topic.UNITS_READY))
    with redis.Redis.from_url(market.app.redis_url, socket_timeout=PATIENCE_S) as client:

        def refused() -> bool:
            client.publish(channel, b"\xff not ours")
            return labelled(port).get("swarmex_bus_events_lost_total corrupt", 0) > 0

        until(refused, "the frame is counted")


def test_a_port_that_is_taken_ends_the_agent_with_what_to_do(market: Market, start: Start) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        agent = start("allocation", metrics_port=server.getsockname()[1])
        until(lambda: agent.process.poll() is not None, "it gives up")
    assert agent.process.returncode == 1
    assert "SWARMEX_METRICS_PORT" in agent.log()
