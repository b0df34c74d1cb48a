"""A node that fails too often, as its users and the operator's monitoring see it."""

import pytest

from backend.bootstrap import Swarmex
from backend.gateway.node_client import NODE_BREAKER, NODE_POLICY
from tests.integration.api.callers import Callers
from tests.integration.api.supply import Supply
from tests.integration.api.test_inference import INFER, body, refused
from tests.integration.api.test_metrics import scrape


@pytest.fixture
def address(supply: Supply) -> str:
    return supply.server.endpoint.removeprefix("http://")


def test_an_open_breaker_is_a_fast_refusal_with_a_time_to_come_back(
    callers: Callers, supply: Supply, market: Swarmex, address: str
) -> None:
    assert callers.user.post(INFER, json=body()).status_code == 200
    market.breakers.get(NODE_BREAKER, address, NODE_POLICY).open()
    answer = callers.user.post(INFER, json=body())
    assert refused(answer) == (503, "node_circuit_open")
    assert answer.headers["Retry-After"] == "2"
    assert answer.elapsed.total_seconds() < 1.0


def test_states_trips_and_refusals_are_metrics(callers: Callers, supply: Supply, market: Swarmex, address: str) -> None:
    assert callers.user.post(INFER, json=body()).status_code == 200
    name = f"node:{address} node"  # labels come sorted
    shown = scrape(callers.admin)
    assert shown[f"swarmex_breaker_state {name} closed"] == 1
    assert shown[f"swarmex_breaker_trips_total {name}"] == 0
    breaker = market.breakers.get(NODE_BREAKER, address, NODE_POLICY)
    for _ in range(NODE_POLICY.fail_max or 0):
        breaker.failure(breaker.before(), ConnectionError())
    for _ in range(3):
        callers.user.post(INFER, json=body())
    shown = scrape(callers.admin)
    assert (shown[f"swarmex_breaker_state {name} open"], shown[f"swarmex_breaker_state {name} closed"]) == (1, 0)
    assert shown[f"swarmex_breaker_trips_total {name}"] == 1
    assert shown[f"swarmex_breaker_rejected_total {name}"] == 3
