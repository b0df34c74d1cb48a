"""A private order from the request over HTTP to its answer, by real processes: its content is found nowhere."""

from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from backend.bootstrap import start_tracing, utc_now
from backend.domain.access import Role
from backend.domain.orders import OrderState
from backend.domain.private_sealing import seal_order
from backend.domain.sealing_keys import KeyState
from backend.messaging import spans
from backend.messaging.dispatcher import Dispatcher
from backend.services import api_keys, orders, relay, sealing_keys
from tests.integration.agents.processes import Start
from tests.integration.api.once import application
from tests.market import Market
from tests.otlp_collector import Collector, collecting
from tests.private import (
    ADMIN,
    MARKER,
    SECRET_BODY,
    answers,
    holds,
    keys_of,
    leaks_in_database,
    leaks_in_redis,
    model_of,
    seal,
    wire,
)
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S, until

# A request that no model takes: what refuses it must not repeat it either.
WRONG = b'{"inputs":[{"name":"31337","shape":[31337],"datatype":"FP32","data":[31337.0]}]}'


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector
    spans.install(None)


def test_what_is_private_is_in_no_table_no_redis_no_log_and_no_span(
    market: Market, start: Start, redis_url: str, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    redis = Redis.from_url(redis_url)
    node_id = market.node("trusted", slots=2).id
    first = start("inference", "--pool", "pool")

    def is_proven() -> bool:
        sealing_keys.issue_challenges(market.app.uow(), utc_now())
        return any(key.state is KeyState.PROVEN for key in keys_of(market, node_id))

    until(is_proven, "the agent has proven its key by itself")
    [key] = keys_of(market, node_id)
    sealing_keys.verify(market.app.uow(), utc_now(), ADMIN, key.id, key.fingerprint)
    assert first.stop() == 0
    market.executor()  # somebody of the pool lives, who takes nothing
    good, keys = seal(market, [key], SECRET_BODY)
    spoilt, _ = seal_order([(WRONG, 1)], model_of(market), {key.id: key.public})
    stop_tracing = start_tracing("api", "front-1")
    secret = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "test").secret
    with serving(application(market.app)) as url:
        for envelope in (good, spoilt):
            workload = {"workload": "inference", "model": "doubling", "model_version": 1, "tier": "medium"}
            placed = httpx.post(
                f"{url}/api/v1/workloads",
                json=workload | {"private": wire(envelope)},
                headers={"Authorization": f"Bearer {secret}"},
                timeout=PATIENCE_S,
            )
            assert placed.status_code == 201, placed.text
    [failing, order] = orders.list_orders(market.app.uow(), market.buyer.account_id)
    market.clear()
    dispatcher = Dispatcher(redis_url)
    assert relay.relay(market.app.uow(), utc_now(), dispatcher.send) >= 1
    assert leaks_in_redis(redis) == []  # while it waits
    assert leaks_in_database(market.app.engine) == []

    second = start("inference", "--pool", "pool")  # with the first one's key
    until(lambda: market.settle() and market.show(order).state is OrderState.SETTLED, "the order is settled")
    until(second.says("item.failed"), "the other one has failed")
    assert answers(market, order.id, keys) == [[2 * MARKER, 4.0]]
    assert market.show(failing).charged_nano == 0
    assert second.stop() == 0
    stop_tracing()
    dispatcher.close()

    until(lambda: any(span.name == "work.run" for span in collector.spans()), "its spans have arrived")
    assert [span for span in collector.spans() if holds(span)] == []
    assert any(span.service == "swarmex-api" for span in collector.spans())
    assert leaks_in_redis(redis) == []
    assert leaks_in_database(market.app.engine) == []
    shown = capfd.readouterr()
    assert "/api/v1/workloads" in shown.err
    assert not holds(shown.out + shown.err)
    for agent in (first, second):
        assert "agent.started" in agent.log()
        assert not holds(agent.log())
        assert not holds(agent.log(), [(market.app.settings.sealing / f"{node_id}.key").read_bytes()])
    redis.close()
