"""A node that fails too often, as its users and the operator's monitoring see it."""

import pytest

from backend.bootstrap import Swarmex
from backend.gateway.routing.node_client import NODE_BREAKER, NODE_POLICY
from backend.messaging.breaker import Breaker
from tests.integration.api.callers import Callers
from tests.integration.api.requests import body
from tests.integration.api.supply import Supply
from tests.integration.api.test_inference import INFER, refused
from tests.integration.api.test_metrics import scrape


@pytest.fixture
def address(supply: Supply) -> str:
    return supply.server.endpoint.removeprefix("http://")


@pytest.fixture
def breaker(callers: Callers, market: Swarmex, address: str, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """The node's, which was used once; for it no time passes any more."""
    assert callers.user.post(INFER, json=body()).status_code == 200
    breaker = market.breakers.get(NODE_BREAKER, address, NODE_POLICY)
    now_s = breaker._clock()
    monkeypatch.setattr(breaker, "_clock", lambda: now_s)
    return breaker


def test_an_open_breaker_is_a_refusal_with_a_time_to_come_back(callers: Callers, breaker: Breaker) -> None:
    breaker.open()
    answer = callers.user.post(INFER, json=body())
    assert refused(answer) == (503, "node_circuit_open")
    assert answer.headers["Retry-After"] == "2"


def test_states_trips_and_refusals_are_metrics(callers: Callers, breaker: Breaker, address: str) -> None:
    name = f"node:{address} node"  # labels come sorted
    shown = scrape(callers.admin)
    assert shown[f"swarmex_breaker_state {name} closed"] == 1
    assert shown[f"swarmex_breaker_trips_total {name}"] == 0
    for _ in range(NODE_POLICY.fail_max or 0):
        breaker.failure(breaker.before(), ConnectionError())
    for _ in range(3):
        callers.user.post(INFER, json=body())
    shown = scrape(callers.admin)
    assert (shown[f"swarmex_breaker_state {name} open"], shown[f"swarmex_breaker_state {name} closed"]) == (1, 0)
    assert shown[f"swarmex_breaker_trips_total {name}"] == 1
    assert shown[f"swarmex_breaker_rejected_total {name}"] == 3
