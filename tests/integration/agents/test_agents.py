"""The operator's agents as processes: woken by events, patient with outages, orderly at the end."""

import signal
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from backend.bootstrap import new_id, utc_now
from backend.domain.allowances import GATEWAY_LOST_S
from backend.domain.fleet import AgentKind
from backend.domain.ids import HoldId
from backend.domain.metering import UsageState
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState
from backend.domain.sla import WINDOW
from backend.services import audit, deposits, escrow, metering, sla
from tests.integration.agents.processes import AgentProcess, Start, deployment
from tests.integration.services.earning import ran, ran_again
from tests.integration.services.pooling import allow, gateway_id
from tests.integration.services.usage import add_meter, event, send
from tests.market import Market
from tests.onnx_files import request
from tests.own_redis import OwnRedis
from tests.waiting import FOREVER_S, until

# An agent's program whose loop turns when something wakes it, and not with time.
WITHOUT_CLOCK = f"""
import sys
from agents import allocation, pricing, settlement
from agents.__main__ import main
for agent in (pricing.PricingAgent, allocation.AllocationAgent, settlement.SettlementAgent):
    agent.period_s = {FOREVER_S}
sys.exit(main())
"""
OWNERS = [AgentKind.PRICING, AgentKind.ALLOCATION, AgentKind.SETTLEMENT, AgentKind.EXTERNAL, AgentKind.TRAINING_ROUND]


def states(market: Market) -> list[str]:
    with market.app.engine.connect() as connection:
        return list(connection.execute(text("SELECT state FROM agents")).scalars())


@pytest.mark.parametrize("kind", OWNERS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_registers_beats_and_says_goodbye(
    market: Market, start: Start, kind: AgentKind, number: signal.Signals
) -> None:
    agent = start(kind)
    until(lambda: states(market) == ["up"], "it is registered")
    assert agent.stop(number) == 0
    assert states(market) == ["stopped"]
    assert agent.events("agent.tick_failed") == []


def test_an_order_goes_all_the_way_by_events_alone(market: Market, node_database_url: str) -> None:
    market.node("a")
    shared = deployment(market, node_database_url)
    agents = [AgentProcess(shared, kind, program=("-c", WITHOUT_CLOCK)) for kind in OWNERS]
    agents.append(AgentProcess(shared, "inference", "--pool", "pool"))
    until(agents[-1].says("consumer.ready"), "the node consumes")
    until(lambda: states(market) == ["up"] * len(agents), "all are up")
    for _ in range(3):
        [order] = market.place(requests=[request((1.0, 2.0))])
        until(lambda: market.show(order).state == OrderState.SETTLED, "it is settled")  # noqa: B023  at once
    assert [agent.stop() for agent in agents] == [0] * len(agents)
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_agent_outlives_a_database_that_goes_and_comes_back(
    market: Market, start: Start, database_url: str, database_admin: psycopg.Connection
) -> None:
    agent = start("settlement")
    until(lambda: states(market) == ["up"], "it is registered")
    name = sql.Identifier(make_url(database_url).database or "")
    database_admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    database_admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [make_url(database_url).database]
    )
    until(agent.says("agent.beat_failed"), "it notices")
    until(agent.says("chore.failed"), "its duties fail")
    database_admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    until(agent.says("agent.beat_recovered"), "it is back")
    assert agent.stop() == 0
    assert states(market) == ["stopped"]


@pytest.mark.slow
def test_without_redis_orders_are_settled_late_but_once_it_is_back(
    database_url: str, node_database_url: str, own_redis: OwnRedis, namespace: str, tmp_path: Path
) -> None:
    market = Market(database_url, node_database_url, own_redis.url, namespace, tmp_path)
    market.node("a")
    shared = deployment(market, node_database_url)
    agents = [AgentProcess(shared, kind) for kind in OWNERS] + [AgentProcess(shared, "inference", "--pool", "pool")]
    until(agents[-1].says("consumer.ready"), "the node consumes")
    until(lambda: states(market) == ["up"] * len(agents), "all are up")
    own_redis.kill()
    [order] = market.place(requests=[request((1.0, 2.0))])
    until(lambda: market.show(order).state == OrderState.RUNNING, "cleared without a single event")
    until(agents[2].says("chore.failed"), "the relay cannot send")
    assert {fact["chore"] for fact in agents[2].events("chore.failed")} == {"relay"}
    own_redis.start()
    until(lambda: market.show(order).state == OrderState.SETTLED, "settled once Redis is back")
    assert [agent.stop() for agent in agents] == [0] * len(agents)
    market.close()


def test_usage_that_waited_for_money_is_charged_and_holds_expire_without_anybody_asking(
    market: Market, start: Start
) -> None:
    add_meter(market)
    poor = market.account("poor")
    send(market, event(1, subject="poor"))
    with market.app.uow() as uow:
        over = utc_now() - escrow.HOLD_MARGIN
        escrow.reserve_one(uow, over, escrow.Need(market.buyer.spender, HoldId(new_id()), 7, over))
        uow.commit()
    market.node("a")
    allow(market, gateway_id(), now=utc_now() - timedelta(seconds=2 * GATEWAY_LOST_S))
    settler = start("settlement")
    until(lambda: market.wallet().reserved_nano == 0, "the hold expired, and so did that of a gateway that is gone")
    [waiting] = metering.list_usage(market.app.uow(), poor.account_id)
    assert waiting.state == UsageState.UNPAID
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, NANO_PER_CREDIT, "at last")
    until(
        lambda: metering.list_usage(market.app.uow(), poor.account_id)[0].state == UsageState.CHARGED,
        "it is paid",
    )
    assert settler.stop() == 0
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_broken_promise_is_counted_withheld_and_credited_without_anybody_asking(market: Market, start: Start) -> None:
    ran(market)
    late = utc_now() - 2 * WINDOW
    ran_again(market, sla_required=True)
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE orders SET placed_at = :late"), {"late": late})  # so it took two hours
        uow.commit()
    settler = start("settlement")
    until(lambda: windows(market) == ["open"], "what was earned waits")
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE sla_windows SET opened_at = :late"), {"late": late})
        uow.commit()
    until(lambda: windows(market) == ["closed"], "the window is over")
    [window] = sla.list_windows(market.app.uow(), market.buyer.account_id)
    assert window.credit_nano == window.owed_nano > 0
    assert settler.stop() == 0
    assert audit.audit_ledger(market.app.uow()).ok


def windows(market: Market) -> list[str]:
    """The states of all SLA windows."""
    return [window.state for window in sla.list_windows(market.app.uow(), None)]
