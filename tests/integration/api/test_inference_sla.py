"""Real-time requests with an SLA: the header, what is counted of them by outcome, and when it is handed over."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.api.app import create_app
from backend.bootstrap import Swarmex, utc_now
from backend.domain.ids import LeaseId
from backend.domain.orders import CloseReason
from backend.domain.sla import Measured
from backend.gateway.routing.node_client import NodeClient
from backend.services import audit, sessions, sla
from tests.integration.api.callers import Callers, Client
from tests.integration.api.counting import rows
from tests.integration.api.requests import body, tensor
from tests.integration.api.slow_node import SlowNode
from tests.integration.api.supply import Supply
from tests.integration.api.test_inference import INFER, refused, settled, wait_for
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S

SLA = {"Swarmex-SLA": "true"}


@pytest.fixture
def slow(supply: Supply) -> Iterator[SlowNode]:
    """The market's only node, which answers when told."""
    with SlowNode() as node:
        supply.endpoint = node.endpoint
        supply.beat()
        yield node


@pytest.fixture
def renewing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are renewed at the first look."""
    monkeypatch.setattr("backend.gateway.leases.session.RENEW_AT", 0.0)


def measured(market: Swarmex) -> Measured:
    """What SLA windows have counted, all together."""
    total = Measured()
    for window in sla.list_windows(market.uow(), None):
        total = total.merged(window.measured)
    return total


def promised(market: Swarmex) -> list[bool]:
    """Of each order, oldest first, whether it has an SLA."""
    with market.engine.connect() as connection:
        return list(connection.execute(text("SELECT sla FROM orders ORDER BY id")).scalars())


def end_all(market: Swarmex) -> None:
    """End every session from elsewhere, as the sweeper would."""
    with market.engine.connect() as connection:
        leases = connection.execute(text("SELECT id FROM leases WHERE state = 'active'")).scalars().all()
    for lease in leases:
        sessions.end(market.uow(), utc_now(), LeaseId(lease), CloseReason.NODE_LOST)


def test_a_session_with_an_sla_is_one_of_its_own_and_hands_over_when_it_is_renewed(
    callers: Callers, supply: Supply, market: Swarmex, renewing: None
) -> None:
    leases = {callers.user.post(INFER, json=body(), headers=SLA).headers["Swarmex-Lease"] for _ in range(3)}
    wait_for(lambda: measured(market).requests == 3)
    plain = callers.user.post(INFER, json=body(), headers={"Swarmex-SLA": "false"})
    assert callers.user.post(INFER, json=body()).headers["Swarmex-Lease"] == plain.headers["Swarmex-Lease"]
    assert len(leases | {plain.headers["Swarmex-Lease"]}) == 2
    assert promised(market) == [True, False]
    [window] = sla.list_windows(market.uow(), None)
    assert (window.tier, window.account_id) == ("medium", callers.user.account_id)
    assert (window.provider_id, window.measured.failures) == (callers.provider.account_id, 0)
    assert 0 < (window.measured.latency_ms_p95 or 0) < 5_000


def test_a_session_hands_over_when_it_ends_and_its_earnings_wait(
    market: Swarmex, supply: Supply, callers: Callers
) -> None:
    with serving(create_app(market)) as address:
        client = Client(address, callers.user.account_id, callers.user.key)
        for _ in range(5):
            assert client.post(INFER, json=body(), headers=SLA).status_code == 200
        assert measured(market) == Measured()  # no request touches the database
    [order] = settled(market)
    assert (order["state"], order["sla"]) == ("settled", True)
    assert (measured(market).requests, measured(market).failures) == (5, 0)
    [window] = sla.list_windows(market.uow(), None)
    assert window.withheld_nano == window.charged_nano > 0
    assert audit.audit_ledger(market.uow()).ok


def test_an_idle_session_hands_over(
    callers: Callers, supply: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)
    callers.user.post(INFER, json=body(), headers=SLA)
    wait_for(lambda: measured(market).requests == 1)


def test_a_session_that_was_ended_elsewhere_hands_over_what_it_still_had(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    first = callers.user.post(INFER, json=body(), headers=SLA).headers["Swarmex-Lease"]
    sessions.end(market.uow(), utc_now(), LeaseId(UUID(first)), CloseReason.NODE_LOST)
    wait_for(lambda: measured(market).requests == 1)
    assert measured(market).failures == 0


def test_what_is_the_clients_own_fault_is_not_counted(
    callers: Callers, supply: Supply, market: Swarmex, renewing: None
) -> None:
    bad: list[Any] = [body(inputs=[tensor(shape=[1, 5])]), body(outputs=[{"name": "z"}]), []]
    for spoilt in bad:
        assert callers.user.post(INFER, json=spoilt, headers=SLA).status_code == 400
    assert callers.user.post(INFER, json=body(), headers=SLA).status_code == 200
    wait_for(lambda: measured(market).requests > 0)
    assert (measured(market).requests, measured(market).failures) == (1, 0)


def test_a_client_that_leaves_is_no_failure(
    callers: Callers, slow: SlowNode, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)
    slow.leave(callers.user, INFER, body(), SLA)
    assert slow.hung_up.wait(PATIENCE_S)
    slow.may_answer.set()
    assert callers.user.post(INFER, json=body(), headers=SLA).status_code == 200
    wait_for(lambda: measured(market).requests > 0)
    assert (measured(market).requests, measured(market).failures) == (1, 0)


def test_a_surplus_of_requests_is_no_failure(
    callers: Callers, slow: SlowNode, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.SESSION_IN_FLIGHT_MAX", 1)
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(callers.user.post, INFER, json=body(), headers=SLA)
        assert slow.arrived.acquire(timeout=PATIENCE_S)
        assert callers.user.post(INFER, json=body(), headers=SLA).status_code == 429
        slow.may_answer.set()
        assert first.result().status_code == 200
    wait_for(lambda: measured(market).requests > 0)
    assert (measured(market).requests, measured(market).failures) == (1, 0)


def test_the_time_that_a_node_takes_is_what_is_measured(
    callers: Callers, slow: SlowNode, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)
    with ThreadPoolExecutor(1) as pool:
        asked = time.monotonic()
        first = pool.submit(callers.user.post, INFER, json=body(), headers=SLA)
        assert slow.arrived.acquire(timeout=PATIENCE_S)
        assert not slow.hung_up.wait(0.3)
        slow.may_answer.set()
        assert first.result().status_code == 200
        took_ms = (time.monotonic() - asked) * 1_000
    wait_for(lambda: measured(market).requests > 0)
    assert 300 <= (measured(market).latency_ms_p95 or 0) <= 2 * took_ms


def test_a_node_that_is_too_slow_has_failed(
    callers: Callers, slow: SlowNode, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.gateway.NodeClient", partial(NodeClient, 1.0))
    with serving(create_app(market)) as address:
        client = Client(address, callers.user.account_id, callers.user.key)
        assert refused(client.post(INFER, json=body(), headers=SLA)) == (503, "node_failed")
    assert (measured(market).requests, measured(market).failures) == (1, 1)


def test_a_node_that_cannot_be_reached_has_failed_each_request_once(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    assert callers.user.post(INFER, json=body(), headers=SLA).status_code == 200
    supply.server.stop()
    broken = 0
    while True:  # a request may still meet the last connection as it closes
        broken += 1
        if refused(callers.user.post(INFER, json=body(), headers=SLA))[1] == "node_unreachable":
            break
    wait_for(lambda: measured(market).requests == 1 + broken)
    assert measured(market).failures == broken
    [order] = settled(market)
    assert order["reason"] == "node_lost"


def test_requests_that_outlive_their_session_are_told_when_the_last_is_answered(
    callers: Callers, slow: SlowNode, market: Swarmex
) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(callers.user.post, INFER, json=body(), headers=SLA) for _ in range(2)]
        for _ in waiting:
            assert slow.arrived.acquire(timeout=PATIENCE_S)
        end_all(market)
        time.sleep(1.2)  # two looks of the gateway
        assert measured(market).requests == 0
        slow.may_answer.set()
        assert {future.result().status_code for future in waiting} == {200}
    wait_for(lambda: measured(market).requests == 2)


@pytest.mark.parametrize("word", ["True", "yes", "1", ""])
def test_a_header_that_is_neither_is_refused(callers: Callers, supply: Supply, market: Swarmex, word: str) -> None:
    before = rows(market)
    response = callers.user.post(INFER, json=body(), headers={"Swarmex-SLA": word})
    assert refused(response) == (422, "invalid_sla")
    assert rows(market) == before


def test_tier_small_has_no_sla(callers: Callers, supply: Supply, market: Swarmex) -> None:
    before = rows(market)
    small = callers.user.post(INFER, json=body(), headers=SLA | {"Swarmex-Tier": "small"})
    assert refused(small) == (422, "sla_not_offered")
    assert rows(market) == before
