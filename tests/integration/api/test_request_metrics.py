"""What `/metrics` shows of requests: by route template, by status, by code; never by what callers make up."""

import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.api.request_metrics import METHODS_MAX, RequestMetrics
from backend.messaging.bounded_labels import OTHER, BoundedLabel
from tests.integration.api.callers import Callers
from tests.integration.api.requests import body, workload
from tests.integration.api.supply import Supply
from tests.integration.api.test_metrics import scrape
from tests.waiting import PATIENCE_S, until

REQUESTS = "swarmex_http_requests_total"


def test_requests_are_counted_and_timed_by_template_and_not_by_path(callers: Callers, supply: Supply) -> None:
    before = scrape(callers.admin)
    placed = callers.user.post("/api/v1/orders", json=workload()).json()
    for _ in range(2):
        assert callers.user.get(f"/api/v1/orders/{placed['id']}").status_code == 200
    assert callers.user.post("/v2/models/scale/infer", json=body()).status_code == 200
    assert callers.user.post("/api/v1/orders", json={}).status_code == 422
    callers.user.get("/nowhere/at/all")
    shown = scrape(callers.admin)
    rise = {name: value - before.get(name, 0) for name, value in shown.items() if "swarmex_http" in name}
    assert rise[f"{REQUESTS} POST /api/v1/orders 201"] == rise[f"{REQUESTS} POST /api/v1/orders 422"] == 1
    assert rise[f"{REQUESTS} GET /api/v1/orders/{{order_id}} 200"] == 2
    assert rise[f"{REQUESTS} POST /v2/models/{{model}}/infer 200"] == 1
    assert rise[f"{REQUESTS} GET unknown 404"] == 1
    assert rise["swarmex_http_request_seconds_count /api/v1/orders/{order_id}"] == 2
    refused = {name: value for name, value in rise.items() if "refusals" in name and not name.endswith("_created")}
    assert sum(value for name, value in refused.items() if "refusals_total" in name) == 2
    assert rise["swarmex_http_refusals_total unknown_route"] == 1
    assert shown["swarmex_http_requests_in_flight"] == 1  # the scrape itself
    assert placed["id"] not in str(sorted(shown))


def test_labels_are_bounded_whatever_comes() -> None:
    label = BoundedLabel(2)
    assert [label.of(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]
    metrics = RequestMetrics()
    for number in range(100):
        metrics.answered("/", f"M{number}", 200, 0.001, None)
    [family] = [found for found in metrics.collect() if found.name == "swarmex_http_requests"]
    methods = {sample.labels["method"] for sample in family.samples}
    assert len(methods) == METHODS_MAX + 1
    assert OTHER in methods


def test_what_goes_on_in_the_market_is_shown(callers: Callers, supply: Supply) -> None:
    document = callers.admin.get("/metrics").text
    families = {family.name for family in text_string_to_metric_families(document)}
    assert {
        "swarmex_orders",
        "swarmex_work_items",
        "swarmex_leases_active",
        "swarmex_work_queued_age_seconds",
    } <= families
    shown = scrape(callers.admin)
    assert shown["swarmex_nodes cloud"] == shown["swarmex_nodes_alive cloud"] == 1
    assert shown["swarmex_slots cloud"] == 4
    assert shown["swarmex_agents_up inference"] == 1
    assert shown["swarmex_agents_up settlement"] == 0


def test_real_time_requests_are_shown_by_model_tier_and_node(callers: Callers, supply: Supply) -> None:
    before = scrape(callers.admin)
    for _ in range(2):
        assert callers.user.post("/v2/models/scale/infer", json=body()).status_code == 200
    assert callers.user.post("/v2/models/scale/infer", json=body(), headers={"Swarmex-Limit": "0.000000001"}).is_error
    shown = scrape(callers.admin)
    rise = {name: value - before.get(name, 0) for name, value in shown.items()}
    assert rise["swarmex_inference_requests_total scale served medium"] == 2
    assert rise["swarmex_inference_requests_total scale limit_below_session_price medium"] == 1
    assert rise["swarmex_inference_seconds_count scale medium"] == 2
    assert rise[f"swarmex_node_seconds_count {supply.node.name}"] == 2
    assert shown["swarmex_gateway_sessions scale medium"] == 1
    assert shown["swarmex_gateway_fresh"] == 1
    until(lambda: scrape(callers.admin)["swarmex_leases_active medium"] == 1, "what is read of the market is renewed")
    assert scrape(callers.admin)["swarmex_slots_busy cloud"] == 1


@pytest.mark.parametrize(
    ("path", "route"), [("/v2/models/scale/infer", "/v2/models/{model}/infer"), ("/v1/files", "/v1/files")]
)
def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure_of_ours(
    callers: Callers, supply: Supply, path: str, route: str
) -> None:
    host, _, port = str(callers.user.base_url).removeprefix("http://").rstrip("/").partition(":")
    key = callers.user.headers["Authorization"]
    kind = "Content-Type: multipart/form-data; boundary=x"
    asked = f"POST {path} HTTP/1.1", "Host: x", "Content-Length: 100", f"Authorization: {key}", kind
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall("\r\n".join((*asked, "", "{")).encode())
    left = f"{REQUESTS} POST {route} 499"
    until(lambda: scrape(callers.admin).get(left, 0) >= 1, "it is counted as a client that left")
