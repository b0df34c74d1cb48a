"""Who may use which route, for every route that there is: a new one without a role fails here."""

import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from backend.api.app import create_app
from backend.api.security import AtLeast
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Role
from backend.services import accounts
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply

OPEN = {"/health/live", "/health/ready", "/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect"}
# Requests that are right but about nothing that exists: they show how far a caller gets, and change nothing.
BODIES = {
    "/api/v1/accounts": {"name": "Not A Name"},
    "/api/v1/keys": {"role": "nobody"},
    "/api/v1/deposits": {"account": str(new_id()), "amount": "1", "reference": "r"},
    "/api/v1/nodes": {"name": "Not A Name", "resource_class": "cloud", "region": "eu", "slots": 1},
    "/api/v1/offers": {"node": str(new_id()), "ask": "1"},
}


def route_table() -> list[tuple[str, str, Role | None]]:
    """Method, path and least role of every route of the API; None where no key is asked for."""
    unwired = Swarmex.__new__(Swarmex)
    found = []
    for route in iter_route_contexts(create_app(unwired).routes):
        if not (route.path or "").startswith("/v2") and route.methods:
            found += [(method, str(route.path), role_of(route)) for method in route.methods - {"HEAD"}]
    return sorted(found, key=str)


def role_of(route: RouteContext) -> Role | None:
    roles = {d.call.role for d in dependencies(getattr(route, "dependant", None)) if isinstance(d.call, AtLeast)}
    assert len(roles) <= 1
    return roles.pop() if roles else None


def dependencies(dependant: Dependant | None) -> Iterator[Dependant]:
    if dependant is not None:
        yield dependant
        for inner in dependant.dependencies:
            yield from dependencies(inner)


ROUTES = route_table()
CLOSED = [(method, path, role) for method, path, role in ROUTES if role is not None]


def ask(client: httpx.Client, method: str, path: str) -> int:
    sent = BODIES.get(path, workload(model="nobody")) if method == "POST" else None
    if path.endswith(":batch"):
        sent = {"orders": []}
    filled = path.replace("{name}", "nobody")
    for name in ("account_id", "order_id", "key_id", "node_id"):
        filled = filled.replace(f"{{{name}}}", str(new_id()))
    return client.request(method, filled, json=sent).status_code


def test_every_route_but_health_and_documentation_asks_for_a_role() -> None:
    assert {path for _, path, role in ROUTES if role is None} <= OPEN
    assert len(CLOSED) >= 20


def test_only_admins_move_money_in_and_open_accounts() -> None:
    assert {(method, path) for method, path, role in CLOSED if role is Role.ADMIN} == {
        ("POST", "/api/v1/accounts"),
        ("POST", "/api/v1/deposits"),
    }


def test_a_caller_is_let_through_exactly_from_the_routes_role_upwards(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for method, path, least in CLOSED:
        for role in Role:
            with subtests.test(f"{role} {method} {path}"):
                status = ask(callers.of(role), method, path)
                if role.rank < least.rank:
                    assert status == 403
                else:
                    assert status in (200, 402, 404, 422, 503)
    assert rows(market) == before


def test_without_a_key_or_with_a_wrong_one_nothing_is_told(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    wrong = [None, "", "Bearer", "Bearer swx_wrong", "Basic dXNlcjpwYXNz", f"Bearer {'x' * 5_000}"]
    for method, path, _ in CLOSED:
        for header in wrong:
            with subtests.test(f"{header!r:.20} {method} {path}"):
                stranger = callers.stranger
                stranger.headers.pop("Authorization", None)
                if header is not None:
                    stranger.headers["Authorization"] = header
                assert ask(stranger, method, path) == 401
    assert rows(market) == before


def test_a_refusal_of_a_key_says_how_to_show_one(callers: Callers) -> None:
    response = callers.stranger.get("/api/v1/accounts/me")
    assert problem(response) == (401, "unauthenticated", "Authorization")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_opens_nothing_within_a_second(callers: Callers, market: Swarmex) -> None:
    key = callers.admin.post("/api/v1/keys", json={"account": str(callers.user.account_id)}).json()
    client = httpx.Client(base_url=callers.user.base_url, headers={"Authorization": f"Bearer {key['secret']}"})
    assert client.get("/api/v1/accounts/me").status_code == 200
    assert callers.user.delete(f"/api/v1/keys/{key['key_id']}").status_code == 204
    assert eventually_refused(client)


def eventually_refused(client: httpx.Client, within_s: float = 1.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if client.get("/api/v1/accounts/me").status_code == 401:
            return True
        time.sleep(0.02)
    return False


def test_a_key_made_for_oneself_has_ones_own_role_at_most(callers: Callers, market: Swarmex) -> None:
    made = callers.provider.post("/api/v1/keys", json={"role": "user", "label": "phone"})
    assert made.status_code == 201
    assert made.json()["account"] == str(callers.provider.account_id)
    before = rows(market)
    for client, role in [(callers.user, "provider"), (callers.user, "admin"), (callers.provider, "admin")]:
        assert problem(client.post("/api/v1/keys", json={"role": role}))[0] == 403
    other = {"account": str(callers.provider.account_id)}
    assert problem(callers.user.post("/api/v1/keys", json=other)) == (404, "unknown_account", "account")
    assert problem(callers.user.post("/api/v1/keys", json={"role": "root"})) == (422, "invalid_role", "role")
    assert rows(market) == before


def test_another_accounts_key_cannot_be_revoked(callers: Callers) -> None:
    path = f"/api/v1/keys/{callers.admin.key.key_id}"
    assert problem(callers.user.delete(path))[:2] == (404, "unknown_key")
    assert callers.admin.get("/api/v1/accounts/me").status_code == 200


def test_another_account_looks_like_one_that_does_not_exist(callers: Callers) -> None:
    theirs = callers.user.get(f"/api/v1/accounts/{callers.admin.account_id}").json()["error"]
    nobodys = callers.user.get(f"/api/v1/accounts/{new_id()}").json()["error"]
    assert theirs["code"] == nobodys["code"] == "unknown_account"
    assert callers.user.get(f"/api/v1/accounts/{callers.user.account_id}").status_code == 200
    assert callers.admin.get(f"/api/v1/accounts/{callers.user.account_id}").status_code == 200


def test_another_providers_node_cannot_be_drained_or_priced(callers: Callers, market: Swarmex, supply: Supply) -> None:
    rival = accounts.create_account(market.uow(), utc_now(), "rival")
    key = accounts.create_key(market.uow(), utc_now(), rival.id, "provider")
    client = Client(str(callers.user.base_url), rival.id, key)
    node = str(supply.node.id)
    assert problem(client.post(f"/api/v1/nodes/{node}/drain"))[:2] == (404, "unknown_node")
    assert problem(client.post("/api/v1/offers", json={"node": node, "ask": "1"}))[:2] == (404, "unknown_node")
    assert client.get("/api/v1/nodes").json() == []
    [own] = callers.provider.get("/api/v1/nodes").json()
    assert (own["id"], own["alive"], own["state"]) == (node, True, "active")
    assert callers.provider.post(f"/api/v1/nodes/{node}/drain").json()["state"] == "draining"
