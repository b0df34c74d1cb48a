"""The coordinator's database goes away and comes back under a running server."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from backend.api.app import create_app
from backend.bootstrap import Swarmex
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.requests import body
from tests.integration.api.supply import Supply
from tests.unit.api.serving import serving
from tests.waiting import until

FAIL_CLOSED_S = 1.0


@pytest.fixture
def address(market: Swarmex, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that fails closed sooner than the others."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", FAIL_CLOSED_S)
    with serving(create_app(market)) as url:
        yield url


def let_in(admin: psycopg.Connection, market: Swarmex, allowed: bool) -> None:
    """Open or close the market's database to everybody, and end whoever is connected."""
    name = market.engine.url.database
    assert name is not None
    change = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(allowed))
    admin.execute(change)
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def test_without_its_database_everything_is_closed_even_to_known_keys_and_opens_again_by_itself(
    market: Swarmex, callers: Callers, supply: Supply, address: str, database_admin: psycopg.Connection
) -> None:
    supply.pause()
    with Client(address, callers.user.account_id, callers.user.key) as client:
        until(lambda: client.get("/v2/models/scale").status_code == 200, "it is open")
        let_in(database_admin, market, allowed=False)
        try:
            until(lambda: client.get("/api/v1/accounts/me").status_code == 503, "it is closed")
            time.sleep(FAIL_CLOSED_S + 0.6)  # from now on no answer is fresh enough, whatever was cached
            closed = client.get("/api/v1/accounts/me")
            assert problem(closed)[:2] == (503, "coordinator_unreachable")
            assert closed.headers["Retry-After"] == "1"
            for path in ("/v2/models/scale", "/v2/health/ready", "/health/ready"):
                assert client.get(path).status_code == 503
            refused = client.post("/v2/models/scale/infer", json=body())
            assert (refused.status_code, refused.headers["Swarmex-Error-Code"]) == (503, "coordinator_unreachable")
            assert client.get("/health/live").status_code == 200
        finally:
            let_in(database_admin, market, allowed=True)
        until(lambda: client.get("/api/v1/accounts/me").status_code == 200, "it is open again")
        until(lambda: client.get("/health/ready").json().get("database"), "and ready")
