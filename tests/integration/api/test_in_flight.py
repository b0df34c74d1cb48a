"""Requests that are under way: how many there may be, and what becomes of them when their client leaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from backend.api.app import create_app
from backend.bootstrap import Swarmex
from backend.gateway.limits import SESSION_IN_FLIGHT_MAX
from tests.integration.api.callers import Callers
from tests.integration.api.requests import body
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import Supply
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S

INFER = "/v2/models/scale/infer"


@pytest.fixture
def slow(supply: Supply) -> Iterator[SlowNode]:
    """The market's only node, which answers when told."""
    with SlowNode() as node:
        supply.endpoint = node.endpoint
        supply.beat()
        yield node


def test_a_client_that_leaves_takes_its_request_off_the_node(callers: Callers, slow: SlowNode) -> None:
    slow.leave(callers.user, INFER, body())
    assert slow.hung_up.wait(PATIENCE_S)


def test_a_client_that_leaves_gives_its_place_back(
    callers: Callers, slow: SlowNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.SESSION_IN_FLIGHT_MAX", 1)
    slow.leave(callers.user, INFER, body())
    assert slow.hung_up.wait(PATIENCE_S)
    slow.may_answer.set()
    assert callers.user.post(INFER, json=body()).status_code == 200


def test_one_session_takes_so_many_requests_at_once_and_no_more(callers: Callers, slow: SlowNode) -> None:
    with ThreadPoolExecutor(SESSION_IN_FLIGHT_MAX) as pool:
        waiting = [pool.submit(callers.user.post, INFER, json=body()) for _ in range(SESSION_IN_FLIGHT_MAX)]
        for _ in waiting:
            assert slow.arrived.acquire(timeout=PATIENCE_S)
        surplus = callers.user.post(INFER, json=body())
        assert (surplus.status_code, surplus.headers["Swarmex-Error-Code"]) == (429, "too_many_in_flight")
        assert surplus.headers["Retry-After"] == "1"
        slow.may_answer.set()
        assert {future.result().status_code for future in waiting} == {200}


def test_a_full_gateway_refuses_everybody_for_a_moment(
    callers: Callers, slow: SlowNode, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.gateway.IN_FLIGHT_MAX", 1)
    with serving(create_app(market)) as address, ThreadPoolExecutor(1) as pool:
        url = address + INFER
        headers = dict(callers.user.headers)
        first = pool.submit(httpx.post, url, json=body(), headers=headers, timeout=PATIENCE_S)
        assert slow.arrived.acquire(timeout=PATIENCE_S)
        second = httpx.post(url, json=body(), headers=headers, timeout=PATIENCE_S)
        assert (second.status_code, second.headers["Swarmex-Error-Code"]) == (503, "overloaded")
        slow.may_answer.set()
        assert first.result().status_code == 200
