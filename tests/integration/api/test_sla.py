"""SLA windows over HTTP: both sides read what was measured between them, and nobody else does."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.sla import WINDOW
from backend.services import api_keys, sla
from tests.integration.api.callers import Client, problem
from tests.integration.api.once import application
from tests.integration.services.earning import ran, ran_again
from tests.market import Market
from tests.unit.api.serving import serving

PATH = "/api/v1/sla"


class Served:
    """A buyer with two windows, one of them closed, and a client for whoever asks."""

    def __init__(self, market: Market, stack: ExitStack) -> None:
        self._market, self._stack = market, stack
        self._address = stack.enter_context(serving(application(market.app)))
        now = utc_now()
        ran(market)
        ran_again(market, sla_required=True)
        sla.observe(market.app.uow(), now - WINDOW)
        sla.close_due(market.app.uow(), now)
        ran_again(market, sla_required=True)
        sla.observe(market.app.uow(), now)

    def client(self, who: Principal | str, role: Role) -> Client:
        """A client of the buyer, the provider or somebody new."""
        principal = self._market.account(who) if isinstance(who, str) else who
        key = api_keys.create_key(self._market.app.uow(), utc_now(), principal.account_id, role)
        return self._stack.enter_context(Client(self._address, principal.account_id, key))

    @property
    def buyer(self) -> Client:
        """Who bought it."""
        return self.client(self._market.buyer, Role.USER)

    @property
    def provider(self) -> Client:
        """Who served it."""
        return self.client(self._market.provider, Role.PROVIDER)


@pytest.fixture
def served(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[Served]:
    """Two windows."""
    with ExitStack() as stack:
        market = Market(database_url, node_database_url, redis_url, namespace, tmp_path / "data")
        stack.callback(market.close)
        yield Served(market, stack)


def test_both_sides_and_admins_read_windows_and_nobody_else(served: Served) -> None:
    told = served.buyer.get(PATH).json()
    assert [window["state"] for window in told["windows"]] == ["open", "closed"]
    assert told["next_before"] is None
    for client in (served.provider, served.client("operator", Role.ADMIN)):
        assert client.get(PATH).json() == told
        assert client.get(f"{PATH}/{told['windows'][0]['id']}").json() == told["windows"][0]
    stranger = served.client("stranger", Role.PROVIDER)
    assert stranger.get(PATH).json() == {"windows": [], "next_before": None}
    assert problem(stranger.get(f"{PATH}/{told['windows'][0]['id']}"))[:2] == (404, "unknown_window")


def test_windows_are_narrowed_to_a_state_and_read_page_by_page(served: Served) -> None:
    first = served.buyer.get(PATH, params={"limit": 1}).json()
    second = served.buyer.get(PATH, params={"limit": 1, "before": first["next_before"]}).json()
    assert [first["windows"][0]["state"], second["windows"][0]["state"]] == ["open", "closed"]
    closed = served.buyer.get(PATH, params={"state": "closed"}).json()["windows"]
    assert closed == second["windows"]
    assert (closed[0]["requests"], closed[0]["uptime_ppm"], closed[0]["credit"]) == (1, 1_000_000, "0.000000000")
    assert closed[0]["account"] == str(served.buyer.account_id)
    assert closed[0]["provider"] == str(served.provider.account_id)
    assert problem(served.buyer.get(PATH, params={"state": "ajar"})) == (422, "invalid_state", "state")
