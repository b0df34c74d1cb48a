"""A server that has just come up: it serves its first request, or says that it cannot yet."""

import time
from collections.abc import Mapping

import psycopg
import pytest

from backend.api.app import create_app
from backend.bootstrap import Swarmex
from backend.services import changes
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.api.callers import Callers, Client
from tests.integration.api.requests import body
from tests.integration.api.supply import Supply
from tests.integration.api.test_outage import let_in
from tests.unit.api.serving import serving
from tests.waiting import until

SLOW_S = 0.5  # of the coordinator's first answer: longer than a request takes to come


def test_the_first_request_is_served_however_slowly_the_coordinator_answers(
    market: Swarmex, supply: Supply, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    supply.beat()
    read = changes.versions

    def slowly(uow: UnitOfWork) -> Mapping[str, int]:
        time.sleep(SLOW_S)
        return read(uow)

    monkeypatch.setattr("backend.gateway.gateway.changes.versions", slowly)
    with serving(create_app(market)) as address, Client(address, callers.user.account_id, callers.user.key) as client:
        assert client.get("/v2/health/ready").status_code == 200
        assert client.post("/v2/models/scale/infer", json=body()).status_code == 200


def test_a_server_starts_without_its_database_and_serves_when_it_is_there(
    market: Swarmex, supply: Supply, callers: Callers, database_admin: psycopg.Connection
) -> None:
    supply.pause()
    let_in(database_admin, market, allowed=False)
    try:
        with serving(create_app(market)) as address, Client(address, callers.user.account_id, callers.user.key) as one:
            assert one.get("/v2/health/ready").status_code == 503
            let_in(database_admin, market, allowed=True)
            until(lambda: one.get("/v2/models/scale").status_code == 200, "it serves")
    finally:
        let_in(database_admin, market, allowed=True)
