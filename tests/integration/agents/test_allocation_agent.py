"""What the allocation agent does beside clearing: holds follow the price of what goes on running."""

import time

import pytest

from agents import allocation
from agents.allocation import AllocationAgent
from agents.base import Identity
from backend.bootstrap import new_id, utc_now
from backend.domain.ids import AgentId
from backend.storage.order_rows import Order
from tests.market import ASK, Market
from tests.waiting import PATIENCE_S

DEAR = 100 * ASK


def agent_of(market: Market) -> AllocationAgent:
    return AllocationAgent(Identity.of_this_process(AgentId(new_id()), "alone"), market.app)


def three_times_too_much(market: Market, count: int = 1) -> list[Order]:
    """Orders that hold three times what the only node asks."""
    market.node("a", slots=count, ask=DEAR)
    market.executor()
    return market.place(count, limit_nano_per_slot_s=3 * DEAR)


def tick_until_reserved(market: Market, agent: AllocationAgent, nano: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while market.wallet().reserved_nano != nano:
        assert time.monotonic() < deadline, market.wallet().reserved_nano
        agent.tick(utc_now())


def test_the_hold_of_an_order_that_goes_on_running_is_lowered_to_its_price(market: Market) -> None:
    [placed] = three_times_too_much(market)
    tick_until_reserved(market, agent_of(market), -(-placed.worst_case_nano // 3))
    assert market.show(placed).state == "running"


def test_with_too_many_epochs_waiting_the_oldest_waits_no_longer(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "LOWER_AFTER_S", 3_600.0)
    monkeypatch.setattr(allocation, "LOWER_WAITING_MAX", 1)
    [first] = three_times_too_much(market)
    agent = agent_of(market)
    market.node("b", ask=DEAR)
    reserved = first.worst_case_nano
    while market.show(first).state != "running":
        agent.tick(utc_now())
    assert market.wallet().reserved_nano == reserved
    [second] = market.place(limit_nano_per_slot_s=3 * DEAR)
    tick_until_reserved(market, agent, -(-reserved // 3) + second.worst_case_nano)


def test_an_agent_that_drains_lowers_what_it_would_have_lowered_later(market: Market) -> None:
    [placed] = three_times_too_much(market)
    agent = agent_of(market)
    while market.show(placed).state != "running":
        agent.tick(utc_now())
    agent.drained()
    assert market.wallet().reserved_nano == -(-placed.worst_case_nano // 3)
