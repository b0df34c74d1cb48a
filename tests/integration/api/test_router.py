"""Requests go around nodes that fail, hang, are slow or send garbage, and back to them when they recover.

Each node is a real HTTP server; the gateway, the auctions, the windows and the money are the real ones.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx
import pytest
from pybreaker import STATE_CLOSED, STATE_OPEN

from backend.bootstrap import Swarmex
from backend.domain.leases import used_nano
from backend.domain.money import parse_credits
from backend.gateway.routing import node_client
from backend.gateway.routing.node_client import NODE_BREAKER, NODE_POLICY, NodeClient
from backend.messaging.breaker import Breaker
from backend.services import audit
from tests.integration.api.callers import Callers
from tests.integration.api.conftest import FUNDS_NANO
from tests.integration.api.faulty_node import (
    BREAKS,
    FAILS,
    GOOD,
    HANGS,
    IS_BUSY,
    IS_SLOW,
    SENDS_GARBAGE,
    FaultyNode,
)
from tests.integration.api.rack import Rack
from tests.integration.api.requests import body
from tests.integration.api.test_inference import INFER, refused
from tests.waiting import PATIENCE_S, until

TIMEOUT_S = 3.0
SLOW_S = 2.0
FAIL_MAX = NODE_POLICY.fail_max or 0


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs and ejections that a test can wait for; all leases of a line are awake, so that all are tried."""
    monkeypatch.setattr("backend.gateway.gateway.NodeClient", partial(NodeClient, TIMEOUT_S))
    monkeypatch.setattr(node_client, "NODE_POLICY", replace(NODE_POLICY, recovery_s=0.5, slow_s=SLOW_S))
    monkeypatch.setattr("backend.gateway.routing.outliers.EJECTION_S", 0.5)
    monkeypatch.setattr("backend.gateway.routing.growth.REST_IN_FLIGHT", 0.1)
    monkeypatch.setattr("backend.gateway.routing.forwarding.ANOTHER_WAIT_S", PATIENCE_S)
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", PATIENCE_S)


@pytest.fixture
def rack(market: Swarmex, callers: Callers) -> Iterator[Rack]:
    """Two nodes."""
    with Rack(market, callers.provider.account_id, 2) as running:
        yield running


def ask(callers: Callers) -> httpx.Response:
    return callers.user.post(INFER, json=body())


def ask_at_once(callers: Callers, count: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(callers), range(count)))


def breaker_of(market: Swarmex, node: FaultyNode) -> Breaker:
    address = node.endpoint.removeprefix("http://")
    return market.breakers.get(NODE_BREAKER, address, node_client.NODE_POLICY)


def both_leased(callers: Callers, rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of two: it grows by the first look at it."""
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_ABOVE_IN_FLIGHT", 0)
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_AFTER_S", 0.0)
    while Counter(ask(callers).headers["Swarmex-Node"] for _ in range(4)).keys() != set(rack.names):
        continue
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_ABOVE_IN_FLIGHT", 1_000)


def assert_paid_for_its_time(callers: Callers, market: Swarmex, rack: Rack) -> None:
    """Each lease is charged for the time from its grant to its end and for nothing else; the books are balanced."""
    market_leases = rack.leases()
    for lease in market_leases:
        until_end = used_nano(lease.price_nano_per_slot_s, 1, lease.granted_at, lease.ended_at, lease.ended_at)
        assert abs(lease.charged_nano - until_end) <= 2, lease  # windows are rounded up one by one
    account = callers.user.get("/api/v1/accounts/me").json()
    assert parse_credits(account["wallet"]) == FUNDS_NANO - sum(lease.charged_nano for lease in market_leases)
    assert audit.audit_ledger(market.uow()).ok


@pytest.mark.parametrize("fault", [FAILS, HANGS, IS_SLOW, SENDS_GARBAGE])
def test_a_node_that_is_not_well_trips_its_breaker_others_answer_and_it_is_used_again_once_it_is_well(
    callers: Callers, rack: Rack, market: Swarmex, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    sick, well = rack.servers
    assert ask(callers).headers["Swarmex-Node"] == rack.names[0]
    breaker = breaker_of(market, sick)
    sick.behaviour, sick.slow_s = fault, SLOW_S + 0.1
    for answer in ask_at_once(callers, FAIL_MAX):
        if fault == IS_SLOW:
            assert answer.status_code == 200
        else:
            assert refused(answer) == (503, "node_failed")
    assert breaker.trips == 1
    assert well.count == 0, "what may have run on a node was sent to another"
    clock, turned_away = breaker._clock, breaker.rejected
    monkeypatch.setattr(breaker, "_clock", lambda: breaker._since_s)  # it has no time to recover yet
    answer = ask(callers)  # meets the open breaker, and waits for a lease elsewhere
    assert (answer.status_code, answer.headers["Swarmex-Node"]) == (200, rack.names[1])
    assert (answer.headers["Swarmex-Attempts"], breaker.rejected) == ("2", turned_away + 1)
    asked = sick.count
    for _ in range(3):
        assert ask(callers).headers["Swarmex-Node"] == rack.names[1]
    assert sick.count == asked
    assert breaker.current_state == STATE_OPEN
    sick.behaviour = GOOD
    monkeypatch.setattr(breaker, "_clock", clock)
    until(lambda: ask(callers).headers["Swarmex-Node"] == rack.names[0], "the node is used again")
    assert breaker.current_state == STATE_CLOSED
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 0)
    until(lambda: not rack.active(), "the sessions have ended")
    assert_paid_for_its_time(callers, market, rack)
    assert {lease.node for lease in rack.leases()} == set(rack.names)


def test_a_request_that_a_dead_node_cannot_take_is_answered_by_another_at_once(
    callers: Callers, rack: Rack, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(callers).headers["Swarmex-Node"] == rack.names[0]
    rack.servers[0].die()
    answer = ask(callers)
    assert (answer.status_code, answer.headers["Swarmex-Node"]) == (200, rack.names[1])
    assert answer.headers["Swarmex-Attempts"] == "2"
    assert "Swarmex-Attempts" not in ask(callers).headers
    until(lambda: rack.active() == [rack.names[1]], "the lost lease has ended")
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 0)
    until(lambda: not rack.active(), "the sessions have ended")
    assert [lease.reason for lease in rack.leases()] == ["node_lost", "session_idle"]
    assert_paid_for_its_time(callers, market, rack)


def test_a_busy_node_is_not_blamed_and_the_request_goes_elsewhere(
    callers: Callers, rack: Rack, market: Swarmex
) -> None:
    ask(callers)
    rack.servers[0].behaviour = IS_BUSY
    for _ in range(2 * FAIL_MAX):
        assert ask(callers).headers["Swarmex-Node"] == rack.names[1]
    assert breaker_of(market, rack.servers[0]).fail_counter == 0
    assert rack.active() == rack.names


def test_when_every_node_is_busy_the_last_ones_answer_is_given_and_nobody_is_hammered(
    callers: Callers, rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_leased(callers, rack, monkeypatch)
    for node in rack.servers:
        node.behaviour, node.count = IS_BUSY, 0
    monkeypatch.setattr("backend.gateway.routing.forwarding.ANOTHER_WAIT_S", 0.2)  # there is no third node
    answers = [ask(callers) for _ in range(4)]
    assert {refused(answer) for answer in answers} == {(503, "node_busy")}
    assert sum(node.count for node in rack.servers) == 8, "each request is tried once on each node"
    monkeypatch.setattr("backend.gateway.routing.retry_budget.RetryBudget.retry", lambda *_: False)
    ask(callers)
    assert sum(node.count for node in rack.servers) == 9, "without a budget there is no retry"


def test_a_node_with_another_agent_is_leased_anew_and_asked_once_more(callers: Callers, rack: Rack) -> None:
    first = ask(callers)
    rack.change_agent(0)
    answer = ask(callers)
    assert (answer.status_code, answer.headers["Swarmex-Attempts"]) == (200, "2")
    assert answer.headers["Swarmex-Node"] == first.headers["Swarmex-Node"]
    assert answer.headers["Swarmex-Lease"] != first.headers["Swarmex-Lease"]


def test_a_model_that_breaks_is_the_users_own_and_buys_no_lease_more(
    callers: Callers, rack: Rack, market: Swarmex
) -> None:
    ask(callers)
    rack.servers[0].behaviour = BREAKS
    for _ in range(2 * FAIL_MAX):
        assert refused(ask(callers)) == (503, "node_failed")
    assert breaker_of(market, rack.servers[0]).current_state == STATE_CLOSED
    assert (rack.active(), rack.servers[1].count) == ([rack.names[0]], 0)


def test_a_slow_node_gets_clearly_fewer_requests_than_its_neighbour(
    callers: Callers, rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_leased(callers, rack, monkeypatch)
    rack.servers[0].behaviour, rack.servers[0].slow_s = IS_SLOW, 0.5
    with ThreadPoolExecutor(4) as pool:
        nodes = Counter(pool.map(lambda _: ask(callers).headers["Swarmex-Node"], range(80)))
    assert nodes[rack.names[0]] * 2 < nodes[rack.names[1]]


def test_a_line_grows_while_requests_go_on_and_shrinks_when_there_are_few(
    callers: Callers, rack: Rack, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_AFTER_S", 0.0)
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_ABOVE_IN_FLIGHT", 4)
    monkeypatch.setattr("backend.gateway.routing.growth.REST_IN_FLIGHT", 2)
    monkeypatch.setattr("backend.gateway.routing.line.DEMAND_DECAY_S", 0.5)
    for node in rack.servers:
        node.behaviour, node.slow_s = IS_SLOW, 0.1

    def grown() -> bool:
        assert {answer.status_code for answer in ask_at_once(callers, 8)} == {200}
        return rack.active() == rack.names

    until(grown, "a second lease was opened")
    until(lambda: {a.headers["Swarmex-Node"] for a in ask_at_once(callers, 8)} == set(rack.names), "both serve")
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)

    def shrunk() -> bool:
        assert ask(callers).status_code == 200
        return len(rack.active()) == 1

    until(shrunk, "the surplus lease has ended")
    assert ask(callers).headers["Swarmex-Node"] == rack.active()[0]
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 0)
    until(lambda: not rack.active(), "the sessions have ended")
    assert_paid_for_its_time(callers, market, rack)


def test_a_line_does_not_grow_beyond_what_its_requests_pay(
    callers: Callers, rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_AFTER_S", 0.0)
    monkeypatch.setattr("backend.gateway.routing.growth.GROW_ABOVE_IN_FLIGHT", 0)
    cheap = {"Swarmex-Limit": "0.001000000"}
    for _ in range(5):
        assert callers.user.post(INFER, json=body(), headers=cheap).status_code == 200
    rack.servers[0].behaviour = IS_BUSY
    monkeypatch.setattr("backend.gateway.routing.forwarding.ANOTHER_WAIT_S", 0.5)
    assert refused(callers.user.post(INFER, json=body(), headers=cheap)) == (503, "node_busy")
    assert rack.active() == [rack.names[0]]
