"""Alerting inside an agent: it watches and tells in threads of its own, whatever Redis and the receiver do."""

from itertools import count

import pytest

from agents.alerting import Alerting
from agents.base import Identity
from agents.settlement import SettlementAgent
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.errors import Unavailable
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Own
from backend.messaging.dispatcher import BREAKER_POLICY as QUEUES_POLICY
from backend.services import fleet, incidents
from tests.integration.receiver import receiving
from tests.integration.services.clock import in_seconds
from tests.integration.workers import unit
from tests.market import Market
from tests.own_redis import OwnRedis
from tests.waiting import eventually, until


def app_of(market: Market, redis_url: str | None = None, **settings: str) -> Swarmex:
    """The market's deployment with other settings."""
    redis_url = redis_url or market.app.redis_url
    return Swarmex(market.app.settings.model_copy(update=settings), market.app.database_url, redis_url)


def lose_an_agent(market: Market) -> None:
    beat = AgentBeat(AgentId(new_id()), "pricing", "pricing-0", "host", 1)
    fleet.beat(market.app.uow(), in_seconds(-30), beat)


REDIS_AWAY = [("breaker_open", "redis")]


def found(market: Market) -> list[tuple[str, str]]:
    """Kinds and subjects of open incidents."""
    return sorted((str(one.kind), one.subject) for one in incidents.list_incidents(market.app.uow(), "open"))


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


def test_one_incident_tells_that_redis_hangs_or_is_gone_and_ends_when_it_is_back(
    market: Market, own_redis: OwnRedis
) -> None:
    app = app_of(market, own_redis.url)
    looks = count()  # a second apart
    try:
        alerting = Alerting(app)

        def look() -> list[tuple[str, str]]:
            alerting.watch(in_seconds(next(looks)))
            return found(market)

        own_redis.freeze()
        assert look() == [], "one that is not answered says nothing yet"
        assert look() == REDIS_AWAY
        own_redis.kill()
        assert look() == REDIS_AWAY
        own_redis.start()
        until(lambda: look() and not app.breakers.own(), "Redis answers")
        own_redis.kill()
        until(lambda: look() and app.breakers.own(), "it is gone once more")
        own_redis.start()
        until(lambda: look() and not app.breakers.own(), "Redis answers again")
        until(lambda: not look(), "it has been calm for a while")
        assert len(incidents.list_incidents(market.app.uow())) == 1, "it did not flap"
    finally:
        app.close()


def test_a_settlement_agent_sees_that_its_queues_and_its_webhook_refuse(market: Market, own_redis: OwnRedis) -> None:
    app = app_of(market, own_redis.url, alert_webhook="http://127.0.0.1:9/")
    try:
        agent = SettlementAgent(Identity.of_this_process(AgentId(new_id()), "settlement-0"), app)
        own_redis.kill()
        for _ in range(QUEUES_POLICY.fail_max or 0):
            with pytest.raises(Unavailable):
                agent._relaying._dispatcher.send([unit("pool.a")])
        assert app.webhook is not None
        app.webhook._breaker.open()
        assert set(app.breakers.own()) == {Own("queues", "redis", "open"), Own("webhook", "alerts", "open")}
        agent._alerting.watch(utc_now())
        assert found(market) == [*REDIS_AWAY, ("breaker_open", "webhook:alerts")]
        figures = {(of.kind, of.name): of.states for of in app.breakers.figures()}
        assert figures["queues", "queues:redis"] == {"open": 1}
    finally:
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
