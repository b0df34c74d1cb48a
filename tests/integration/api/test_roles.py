"""Who may use which route, for every route that there is: a new one without a role fails here."""

import pytest

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Role
from backend.services import accounts, api_keys
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.lab import with_secret
from tests.integration.api.route_table import BODIES, CLOSED, NO_BODY, ROUTES
from tests.integration.api.supply import Supply
from tests.waiting import eventually

OPEN = {
    "/api/v1/nodes/join",
    "/health/live",
    "/v1/files/{file_id}/content",  # with a key, or by a link that is signed: tests of batches
    "/health/ready",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/docs/oauth2-redirect",
}
OPERATORS = {
    "DELETE /api/v1/markets/rules/{resource_class}/{region}",
    "DELETE /api/v1/regions/links/{region}/{other}",
    "GET /api/v1/accounts",
    "GET /api/v1/audit-log",
    "GET /api/v1/epochs/{epoch_id}/replay",
    "GET /api/v1/incidents",
    "GET /api/v1/incidents/{incident_id}",
    "GET /api/v1/markets/book",
    "GET /metrics",
    "POST /api/v1/accounts",
    "POST /api/v1/deposits",
    "POST /api/v1/disputes/{dispute_id}/reject",
    "POST /api/v1/disputes/{dispute_id}/uphold",
    "POST /api/v1/fees",
    "POST /api/v1/incidents/{incident_id}/ack",
    "POST /api/v1/invoices",
    "POST /api/v1/invoices/{document_id}/credit-note",
    "POST /api/v1/invoices/{document_id}/finalise",
    "POST /api/v1/invoices/{document_id}/pay",
    "POST /api/v1/invoices/{document_id}/void",
    "POST /api/v1/ledger/credits",
    "POST /api/v1/ledger/refunds",
    "POST /api/v1/ledger/transfers/{transfer_id}/reverse",
    "POST /api/v1/markets/rules",
    "POST /api/v1/meters",
    "POST /api/v1/meters/{name}/prices",
    "POST /api/v1/meters/{name}/rerate",
    "POST /api/v1/payouts/{payout_id}/approve",
    "POST /api/v1/payouts/{payout_id}/post",
    "POST /api/v1/payouts/{payout_id}/reject",
    "POST /api/v1/tiers/{name}",
    "POST /api/v1/usage",
    "POST /api/v1/usage/{usage_id}/void",
    "PUT /api/v1/regions/links",
}


def test_every_route_but_health_and_documentation_asks_for_a_role() -> None:
    assert {route.path for route in ROUTES if route.role is None} <= OPEN
    assert len(CLOSED) >= 70


def test_only_admins_move_money_by_hand_open_accounts_and_read_the_log() -> None:
    assert {str(route) for route in CLOSED if route.role is Role.ADMIN} == OPERATORS


def test_every_route_that_takes_a_body_is_asked_with_one() -> None:
    paths = {route.path.removeprefix("/api/v1") for route in CLOSED if route.method == "POST"}
    assert paths - set(BODIES) - NO_BODY == {"/orders", "/quotes", "/workloads"}
    put = {route.path.removeprefix("/api/v1") for route in CLOSED if route.method == "PUT"}
    assert set(BODIES) | NO_BODY <= paths | put


def test_a_caller_is_let_through_exactly_from_the_routes_role_upwards(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for route in CLOSED:
        assert route.role is not None
        for role in Role:
            with subtests.test(f"{role} {route}"):
                response = route.ask(callers.of(role))
                if role.rank < route.role.rank:
                    assert response.status_code == 403
                else:
                    assert response.status_code in (200, 402, 404, 422, 503)
                    if response.status_code == 422 and route.path.removeprefix("/api/v1") in BODIES:
                        assert response.json()["error"]["code"] != "missing", "the form of the body is wrong"
    assert rows(market) == before


def test_without_a_key_or_with_a_wrong_one_nothing_is_told(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    wrong = [None, "", "Bearer", "Bearer swx_wrong", "Basic dXNlcjpwYXNz", f"Bearer {'x' * 5_000}"]
    for route in CLOSED:
        for header in wrong:
            with subtests.test(f"{header!r:.20} {route}"):
                stranger = callers.stranger
                stranger.headers.pop("Authorization", None)
                if header is not None:
                    stranger.headers["Authorization"] = header
                assert route.ask(stranger).status_code == 401
    assert rows(market) == before


def test_a_refusal_of_a_key_says_how_to_show_one(callers: Callers) -> None:
    response = callers.stranger.get("/api/v1/accounts/me")
    assert problem(response) == (401, "unauthenticated", "Authorization")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_opens_nothing_from_the_next_look_on(callers: Callers, market: Swarmex) -> None:
    key = callers.admin.post("/api/v1/keys", json={"account": str(callers.user.account_id)}).json()
    client = with_secret(callers.user, key["secret"])
    assert client.get("/api/v1/accounts/me").status_code == 200
    assert callers.user.delete(f"/api/v1/keys/{key['key_id']}").status_code == 204
    assert eventually(lambda: client.get("/api/v1/accounts/me").status_code == 401)


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


def test_admins_list_accounts_page_by_page(callers: Callers) -> None:
    path = "/api/v1/accounts"
    assert problem(callers.provider.get(path))[0] == 403
    first = callers.admin.get(path, params={"limit": 2}).json()
    last = callers.admin.get(path, params={"limit": 2, "before": first["next_before"]}).json()
    assert [account["id"] for account in (*first["accounts"], *last["accounts"])] == [
        str(client.account_id) for client in (callers.admin, callers.provider, callers.user)
    ]
    assert last["next_before"] is None
    [found] = callers.admin.get(path, params={"search": "user-"}).json()["accounts"]
    assert found == callers.user.get(f"{path}/me").json()


def test_keys_are_listed_to_their_account_and_to_admins_without_anything_that_opens(callers: Callers) -> None:
    made = [callers.user.post("/api/v1/keys", json={"label": label}).json() for label in ("notebook", "pipeline")]
    first = callers.user.get("/api/v1/keys", params={"limit": 2})
    assert not any(key["secret"] in first.text for key in made)
    assert [key["label"] for key in first.json()["keys"]] == ["pipeline", "notebook"]
    last = callers.user.get("/api/v1/keys", params={"before": first.json()["next_before"]}).json()
    assert ([key["key_id"] for key in last["keys"]], last["next_before"]) == ([str(callers.user.key.key_id)], None)
    callers.user.delete(f"/api/v1/keys/{made[0]['key_id']}")
    theirs = {"account": str(callers.user.account_id)}
    told = [
        callers.admin.get("/api/v1/keys", params=theirs | more).json()["keys"] for more in ({}, {"revoked": "true"})
    ]
    assert [len(keys) for keys in told] == [2, 3]
    assert [bool(key["revoked_at"]) for key in told[1]] == [False, True, False]
    own = callers.admin.get("/api/v1/keys").json()["keys"]
    assert [key["account"] for key in own] == [str(callers.admin.account_id)]
    others = [callers.provider.get("/api/v1/keys", params=of) for of in (theirs, {"account": str(new_id())})]
    assert {problem(refused) for refused in others} == {(404, "unknown_account", "account")}


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
    key = api_keys.create_key(market.uow(), utc_now(), rival.id, "provider")
    client = Client(str(callers.user.base_url), rival.id, key)
    node = str(supply.node.id)
    assert problem(client.post(f"/api/v1/nodes/{node}/drain"))[:2] == (404, "unknown_node")
    assert problem(client.post("/api/v1/offers", json={"node": node, "ask": "1"}))[:2] == (404, "unknown_node")
    assert client.get("/api/v1/nodes").json() == []
    [own] = callers.provider.get("/api/v1/nodes").json()
    assert (own["id"], own["alive"], own["state"]) == (node, True, "active")
    assert callers.provider.post(f"/api/v1/nodes/{node}/drain").json()["state"] == "draining"
