"""The coordinator's database goes away and comes back under a running server."""

import time
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from psycopg import sql

from backend.api.app import create_app
from backend.bootstrap import Swarmex
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.requests import body
from tests.integration.api.supply import Supply
from tests.unit.api.serving import serving

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


def until(answers: Callable[[], httpx.Response], status: int, within_s: float = 5.0) -> httpx.Response:
    deadline = time.monotonic() + within_s
    while (response := answers()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.1)
    assert response.status_code == status
    return response


def test_without_its_database_everything_is_closed_even_to_known_keys_and_opens_again_by_itself(
    market: Swarmex, callers: Callers, supply: Supply, address: str, database_admin: psycopg.Connection
) -> None:
    supply.pause()
    with Client(address, callers.user.account_id, callers.user.key) as client:
        assert client.get("/v2/models/scale").status_code == 200
        let_in(database_admin, market, allowed=False)
        try:
            closed = until(lambda: client.get("/api/v1/accounts/me"), 503)
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
        until(lambda: client.get("/api/v1/accounts/me"), 200)
        assert client.get("/health/ready").json()["database"] is True
