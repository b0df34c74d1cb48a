"""Alerting inside an agent: it watches and tells in threads of its own, whatever Redis and the receiver do."""

import time
from collections.abc import Callable

from agents.alerting import Alerting
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from backend.messaging.breaker_policy import BreakerPolicy
from backend.services import fleet, incidents
from tests.integration.receiver import receiving
from tests.integration.services.clock import in_seconds
from tests.market import Market
from tests.own_redis import OwnRedis

WAIT_S = 15.0


def app_of(market: Market, redis_url: str | None = None, **settings: str) -> Swarmex:
    """The market's deployment with other settings."""
    redis_url = redis_url or market.app.redis_url
    return Swarmex(market.app.settings.model_copy(update=settings), market.app.database_url, redis_url)


def lose_an_agent(market: Market) -> None:
    beat = AgentBeat(AgentId(new_id()), "pricing", "pricing-0", "host", 1)
    fleet.beat(market.app.uow(), in_seconds(-30), beat)


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def open_kinds(market: Market) -> list[str]:
    return sorted(str(incident.kind) for incident in incidents.list_incidents(market.app.uow(), "open"))


def test_what_is_found_reaches_the_webhook_though_its_first_answer_hangs(market: Market) -> None:
    lose_an_agent(market)
    with receiving(0) as receiver:
        app = app_of(market, alert_webhook=receiver.url)
        alerting = Alerting(app)
        alerting.start()
        try:
            assert eventually(lambda: len(receiver.got) == 1)
            seen = incidents.list_incidents(market.app.uow())[0].seen_at
            assert eventually(lambda: incidents.list_incidents(market.app.uow())[0].seen_at > seen), "it watches on"
            receiver.released.set()
            assert eventually(lambda: len(receiver.got) == 2)
        finally:
            alerting.stop()
            app.close()
    assert {body["event"] for body in receiver.bodies} == {"opened"}


def test_open_breakers_of_other_processes_are_found_and_kept_while_redis_is_away(
    market: Market, own_redis: OwnRedis
) -> None:
    other, app = app_of(market, own_redis.url), app_of(market, own_redis.url)
    other.breakers.start()
    try:
        other.breakers.get("node", "10.0.0.7", BreakerPolicy(recovery_s=60.0)).open()
        assert eventually(lambda: bool(other.breakers.read()))
        alerting = Alerting(app)
        alerting.watch(utc_now())
        assert open_kinds(market) == ["breaker_open"]
        own_redis.kill()
        lose_an_agent(market)
        alerting.watch(in_seconds(600))
        assert open_kinds(market) == ["agent_lost", "breaker_open"]
    finally:
        other.close()
        app.close()


def test_a_webhook_that_cannot_be_one_keeps_nobody_from_watching(market: Market) -> None:
    lose_an_agent(market)
    app = app_of(market, alert_webhook="nowhere")
    alerting = Alerting(app)
    alerting.start()
    try:
        assert eventually(lambda: open_kinds(market) == ["agent_lost"])
    finally:
        alerting.stop()
        app.close()
