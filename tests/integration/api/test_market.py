"""The nouns around orders: accounts, deposits, nodes, offers, prices, models, health and the schema."""

from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from backend.api.app import create_app
from backend.api.limits import BODY_BYTES_MAX
from backend.bootstrap import Settings, Swarmex, connect
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.supply import Supply
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S


def test_an_account_is_opened_empty_and_its_name_is_taken_once(callers: Callers) -> None:
    made = callers.admin.post("/api/v1/accounts", json={"name": "lab"})
    assert made.status_code == 201
    assert made.json()["wallet"] == made.json()["available"] == "0.000000000"
    assert problem(callers.admin.post("/api/v1/accounts", json={"name": "lab"})) == (409, "account_exists", "name")
    assert problem(callers.admin.post("/api/v1/accounts", json={"name": "A b"})) == (422, "invalid_name", "name")


def test_a_payment_is_credited_once_whatever_its_sender_repeats(callers: Callers, market: Swarmex) -> None:
    paid = {"account": str(callers.provider.account_id), "amount": "12.5", "reference": "invoice-1"}
    first = callers.admin.post("/api/v1/deposits", json=paid)
    assert (first.status_code, first.json()["repeated"], first.json()["available"]) == (201, False, "12.500000000")
    before = rows(market)
    again = callers.admin.post("/api/v1/deposits", json=paid)
    assert again.json() == first.json() | {"repeated": True}
    other = callers.admin.post("/api/v1/deposits", json=paid | {"amount": "12.6"})
    assert problem(other) == (409, "reference_reused", "reference")
    assert rows(market) == before
    assert callers.provider.get("/api/v1/accounts/me").json()["wallet"] == "12.500000000"


def test_a_deposit_that_cannot_be_right_is_refused(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    right = {"account": str(callers.user.account_id), "amount": "1", "reference": "r"}
    wrong: list[tuple[dict[str, Any], int, str, str]] = [
        ({"amount": 1}, 422, "invalid_amount", "amount"),
        ({"amount": "1e20"}, 422, "invalid_amount", "amount"),
        ({"amount": "-1"}, 422, "invalid_amount", "amount"),
        ({"amount": "0"}, 422, "invalid_amount", "amount"),
        ({"account": "nobody"}, 422, "invalid_account", "account"),
        ({"account": "00000000-0000-0000-0000-000000000000"}, 404, "unknown_account", "account"),
        ({"reference": ""}, 422, "invalid_reference", "reference"),
        ({"reference": "r" * 129}, 422, "invalid_reference", "reference"),
        ({"currency": "EUR"}, 422, "unknown_field", "currency"),
    ]
    before = rows(market)
    for changes, status, code, field in wrong:
        with subtests.test(str(changes)):
            refused = callers.admin.post("/api/v1/deposits", json=right | changes)
            assert problem(refused) == (status, code, field)
    assert rows(market) == before


def test_a_provider_brings_a_node_offers_it_and_it_is_priced(callers: Callers, supply: Supply) -> None:
    node = {"name": "phone-1", "resource_class": "mobile", "region": "eu-2", "slots": 2, "pool": "phones"}
    made = callers.provider.post("/api/v1/nodes", json=node)
    assert made.status_code == 201, made.text
    assert (made.json()["queue"], made.json()["alive"], made.json()["ask"]) == ("pool.phones", False, None)
    offer = callers.provider.post("/api/v1/offers", json={"node": made.json()["id"], "ask": "0.000000001"})
    assert (offer.status_code, offer.json()["version"], offer.json()["ask"]) == (201, 1, "0.000000001")
    prices = {(p["resource_class"], p["region"]): p for p in callers.user.get("/api/v1/prices").json()}
    cloud, mobile = prices["cloud", "eu-1"], prices["mobile", "eu-2"]
    assert (cloud["slots"], cloud["slots_free"], cloud["nodes"], cloud["utilisation"]) == (4, 4, 1, 0.0)
    assert cloud["spot_price"] == "0.001000000"
    assert (mobile["slots"], mobile["nodes"]) == (0, 0)  # no agent serves it


def test_a_node_or_an_offer_that_cannot_be_is_refused(
    callers: Callers, market: Swarmex, supply: Supply, subtests: pytest.Subtests
) -> None:
    node = {"name": "n", "resource_class": "cloud", "region": "eu-1", "slots": 1}
    wrong: list[tuple[dict[str, Any], int, str, str]] = [
        ({"name": "N!"}, 422, "invalid_name", "name"),
        ({"name": supply.node.name}, 409, "node_exists", "name"),
        ({"resource_class": "mainframe"}, 422, "invalid_resource_class", "resource_class"),
        ({"region": "The Moon"}, 422, "invalid_region", "region"),
        ({"slots": 0}, 422, "invalid_slots", "slots"),
        ({"slots": 10**6}, 422, "invalid_slots", "slots"),
        ({"slots": 10**20}, 422, "invalid_slots", "slots"),
        ({"pool": "a/b"}, 422, "invalid_pool", "pool"),
    ]
    before = rows(market)
    for changes, status, code, field in wrong:
        with subtests.test(str(changes)):
            refused = callers.provider.post("/api/v1/nodes", json=node | changes)
            assert problem(refused) == (status, code, field)
    for ask in (1, "0", "-1", "1e20", "NaN"):
        with subtests.test(f"ask {ask}"):
            offer = {"node": str(supply.node.id), "ask": ask}
            assert problem(callers.provider.post("/api/v1/offers", json=offer)) == (422, "invalid_amount", "ask")
    assert rows(market) == before


def test_models_are_listed_and_shown_with_what_they_take_and_give(callers: Callers) -> None:
    [model] = callers.user.get("/api/v1/models").json()["models"]
    assert (model["name"], model["version"]) == ("scale", 1)
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert callers.user.get("/api/v1/models/scale").json() == model
    assert callers.user.get("/api/v1/models/scale?version=1").json() == model
    assert problem(callers.user.get("/api/v1/models/scale?version=2"))[:2] == (404, "unknown_model_version")
    assert problem(callers.user.get("/api/v1/models/nobody"))[:2] == (404, "unknown_model")
    assert problem(callers.user.get("/api/v1/models/a%00b"))[:2] == (422, "invalid_name")


def test_health_tells_what_answers(callers: Callers) -> None:
    assert callers.stranger.get("/health/live").json() == {"status": "live"}
    ready = callers.stranger.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "database": True, "redis": True, "gateway": True},
    )
    assert callers.stranger.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize(
    ("gone", "status", "said"),
    [
        ("redis_url", 200, {"status": "degraded", "database": True, "redis": False, "gateway": True}),
        ("database_url", 503, {"status": "unavailable", "database": False, "redis": True, "gateway": False}),
    ],
)
def test_without_redis_it_is_degraded_and_without_its_database_not_ready(
    market: Swarmex, gone: str, status: int, said: dict[str, object]
) -> None:
    nowhere = {"redis_url": "redis://127.0.0.1:1/0", "database_url": "postgresql+psycopg://x@127.0.0.1:1/x"}
    broken = connect(Settings(**market.settings.model_dump() | {gone: nowhere[gone]}))
    with serving(create_app(broken)) as address, httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (status, said)
        assert client.get("/health/live").status_code == 200
        if gone == "database_url":
            assert client.get("/v2/health/ready").json() == {"ready": False}
            key = {"Authorization": "Bearer swx_any"}
            assert problem(client.get("/api/v1/accounts/me", headers=key))[:2] == (503, "coordinator_unreachable")
    broken.close()


def test_a_process_whose_answers_are_old_is_not_ready_although_the_database_is(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", -1.0)
    ready = callers.stranger.get("/health/ready")
    said = {"status": "unavailable", "database": True, "redis": True, "gateway": False}
    assert (ready.status_code, ready.json()) == (503, said)
    assert callers.stranger.get("/v2/health/ready").status_code == 503


def test_the_schema_lists_every_route(callers: Callers, market: Swarmex) -> None:
    paths = callers.stranger.get("/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    served = {
        (method, route.path)
        for route in iter_route_contexts(create_app(market).routes)
        if route.path and route.path.startswith(("/api", "/health", "/metrics", "/v1", "/v2"))
        for method in (route.methods or set()) - {"HEAD"}
    }
    # Two wildcards refuse whatever Triton's clients may want of shared memory: nothing that one would look up.
    served = {(method, path) for method, path in served if "sharedmemory" not in path}
    assert listed == served
    assert len({operation["operationId"] for o in paths.values() for operation in o.values()}) == len(listed)


def test_the_schema_shows_examples_and_the_error_envelope(callers: Callers) -> None:
    schema = callers.stranger.get("/openapi.json").json()
    workload = schema["components"]["schemas"]["Workload"]
    assert workload["examples"][0]["workload"] == "batch"
    assert workload["additionalProperties"] is False
    assert workload["properties"]["tier"]["enum"] == ["small", "medium", "large", "enterprise"]
    refused = schema["paths"]["/api/v1/orders"]["post"]["responses"]["422"]
    assert refused["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    assert "HTTPValidationError" not in schema["components"]["schemas"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_elsewhere(callers: Callers, page: str) -> None:
    html = callers.stranger.get(page)
    assert html.status_code == 200
    assert "://" not in html.text
    for part in html.text.split('"'):
        if part.endswith((".js", ".css", ".png")):
            assert part.startswith("/"), part
            assert callers.stranger.get(part).status_code == 200


def test_bodies_above_the_limit_are_refused_declared_or_chunked(callers: Callers, market: Swarmex) -> None:
    before = rows(market)
    declared = callers.user.post("/api/v1/orders", content=b" " * (BODY_BYTES_MAX + 1))
    assert problem(declared) == (413, "too_large", "body")
    json_type = {"Content-Type": "application/json"}
    chunked = callers.user.post("/api/v1/orders", content=(b" " * 2**20 for _ in range(9)), headers=json_type)
    assert problem(chunked) == (413, "too_large", "body")
    assert rows(market) == before
