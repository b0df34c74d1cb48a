"""A market with real servers behind it, the API served by uvicorn, and callers of every role."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.bootstrap import Settings, Swarmex, connect, utc_now
from backend.domain.access import Role
from backend.services import accounts, api_keys, deposits, models
from tests.integration.api.callers import TIMEOUT_S, Callers, Client
from tests.integration.api.once import application
from tests.integration.api.supply import Supply, write_model
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S

FUNDS_NANO = 100 * 10**9


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways serve by what they know although this machine is too slow to ask anew in time."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", PATIENCE_S)


@pytest.fixture
def market(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Swarmex]:
    """A wired deployment on servers of the test's own."""
    settings = Settings(
        database_url=database_url, redis_url=redis_url, bus_namespace=namespace, data_folder=tmp_path / "data"
    )
    wired = connect(settings)
    model = write_model(tmp_path / "scale.onnx")
    models.register_model(wired.uow(), utc_now(), wired.objects, "scale", model)
    yield wired
    wired.close()


@pytest.fixture
def url(market: Swarmex) -> Iterator[str]:
    """Where the API answers."""
    with serving(application(market)) as address:
        yield address


@pytest.fixture
def callers(market: Swarmex, url: str) -> Iterator[Callers]:
    """A funded user, a provider and an admin, each with a key and a client; and a client without a key."""
    now = utc_now()
    clients = {}
    for role in Role:
        account = accounts.create_account(market.uow(), now, f"{role}-account")
        key = api_keys.create_key(market.uow(), now, account.id, role, "test")
        clients[role] = Client(url, account.id, key)
    deposits.deposit(market.uow(), now, clients[Role.USER].account_id, FUNDS_NANO, "opening")
    stranger = httpx.Client(base_url=url, timeout=TIMEOUT_S)
    yield Callers(clients[Role.USER], clients[Role.PROVIDER], clients[Role.ADMIN], stranger)
    for client in (*clients.values(), stranger):
        client.close()


@pytest.fixture
def supply(market: Swarmex, callers: Callers, tmp_path: Path) -> Iterator[Supply]:
    """One cloud node that is offered and alive, and an allocation that clears whatever is placed."""
    with Supply(market, callers.provider.account_id, tmp_path / "node") as running:
        yield running
