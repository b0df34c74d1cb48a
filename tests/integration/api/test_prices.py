"""Prices over time, depth, book and rules of markets by the API."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from backend.bootstrap import Swarmex, utc_now
from backend.services import pricing
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply


@pytest.fixture
def priced(market: Swarmex, supply: Supply) -> Supply:
    """A market with two points of history: its first price, and one that holds it at its lowest ask."""
    supply.clearing.clear()
    with market.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE markets SET priced_at = priced_at - interval '1 minute'")
    assert pricing.reprice(market.uow(), utc_now()) == 1
    return supply


def test_the_history_tells_prices_and_causes_but_not_that_an_ask_held_one(callers: Callers, priced: Supply) -> None:
    newest, opening = callers.user.get("/api/v1/prices/history").json()
    assert (opening["resource_class"], opening["region"], opening["cause"]) == ("cloud", "eu-1", "opened")
    assert (newest["spot_price"], newest["cause"]) == ("0.001000000", "held")
    assert newest["at"] > opening["at"]

    def told(**params: str) -> httpx.Response:
        return callers.user.get("/api/v1/prices/history", params=params)

    assert told(limit="1").json() == [newest]
    assert told(resource_class="cloud", region="eu-1").json() == [newest, opening]
    assert told(resource_class="fog").json() == []
    assert problem(told(region="eu-9")) == (404, "unknown_region", "region")
    assert told(region="eu-9").json()["error"]["accepted"] == "eu-1"
    assert problem(told(resource_class="fog", region="eu-1")) == (404, "unknown_market", "resource_class")
    assert told(since=newest["at"]).json() == [newest]
    assert told(before=newest["at"]).json() == [opening]
    assert problem(told(limit="0")) == problem(told(limit="1001")) == (422, "invalid_limit", "limit")
    assert problem(told(since="soon")) == (422, "invalid_since", "since")
    assert told(since="soon").json()["error"]["accepted"] == "a valid datetime or date"
    assert problem(told(resource_class="toaster")) == (422, "invalid_resource_class", "resource_class")
    assert problem(told(region="The Moon")) == (422, "invalid_region", "region")
    assert problem(told(since=newest["at"], before=newest["at"])) == (422, "invalid_before", "before")
    wrong = callers.admin.get("/api/v1/markets/book", params={"resource_class": "toaster"})
    assert problem(wrong) == (422, "invalid_resource_class", "resource_class")


def test_depth_is_told_to_everybody_and_the_book_to_admins_only(callers: Callers, priced: Supply) -> None:
    assert callers.user.post("/api/v1/orders", json=workload(limit="0.123456789")).status_code == 201
    answer = callers.provider.get("/api/v1/markets/depth")
    [depth] = answer.json()
    assert (depth["resource_class"], depth["region"], depth["slots_free"]) == ("cloud", "eu-1", 4)
    hidden = {"above": None, "up_to": None, "slots": None, "fewer_than_3": True}
    assert (depth["free"], depth["waiting"]) == ([hidden], [hidden])
    assert "0.123456789" not in answer.text
    assert problem(callers.provider.get("/api/v1/markets/book"))[:2] == (403, "forbidden")
    book = callers.admin.get("/api/v1/markets/book", params={"resource_class": "cloud"}).json()
    assert [order["limit"] for order in book["orders"]] == ["0.123456789"]
    assert [(o["node"], o["ask"], o["slots_free"]) for o in book["offers"]] == [(str(priced.node.id), "0.001000000", 4)]
    assert book["complete"]


def test_rules_are_read_by_everybody_and_changed_in_part(callers: Callers, priced: Supply) -> None:
    [rule] = callers.user.get("/api/v1/markets/rules").json()
    assert rule == {
        "resource_class": "cloud",
        "region": "eu-1",
        "mechanism": "uniform",
        "floor": "0.000001000",
        "cap": "1000.000000000",
        "target_ppm": 700_000,
        "own": False,
    }
    change = {"resource_class": "cloud", "region": "eu-1", "mechanism": "mcafee", "cap": "2"}
    made = callers.admin.post("/api/v1/markets/rules", json=change)
    assert (made.status_code, made.json()) == (
        200,
        rule | {"mechanism": "mcafee", "cap": "2.000000000", "own": True},
    )
    assert callers.user.get("/api/v1/markets/rules").json() == [made.json()]


def test_rules_and_distances_are_undone_by_what_names_them(callers: Callers, priced: Supply) -> None:
    [born] = callers.user.get("/api/v1/markets/rules").json()
    where = {"resource_class": "cloud", "region": "eu-1"}
    callers.admin.post("/api/v1/markets/rules", json=where | {"mechanism": "mcafee"})
    undone = callers.admin.delete("/api/v1/markets/rules/cloud/eu-1")
    assert (undone.status_code, undone.json()) == (200, born)
    assert callers.user.get("/api/v1/markets/rules").json() == [born]
    again = callers.admin.delete("/api/v1/markets/rules/cloud/eu-1")
    assert problem(again) == (404, "unknown_market_rules", "region")
    assert problem(callers.admin.delete("/api/v1/markets/rules/toaster/eu-1"))[:2] == (422, "invalid_resource_class")
    link = {"region": "eu-1", "other": "eu-2", "latency_ms": 9}
    callers.admin.put("/api/v1/regions/links", json=link)
    gone = callers.admin.delete("/api/v1/regions/links/eu-2/eu-1")
    assert (gone.status_code, gone.json()) == (200, link)
    assert callers.user.get("/api/v1/regions/links").json() == []
    assert problem(callers.admin.delete("/api/v1/regions/links/eu-2/eu-1")) == (404, "unknown_region_link", "other")


def test_rules_that_cannot_be_are_refused_with_the_fields_name(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    right = {"resource_class": "cloud", "region": "eu-1"}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({}, "nothing_to_change", "mechanism"),
        ({"mechanism": "lottery"}, "invalid_mechanism", "mechanism"),
        ({"floor": "0.000000007"}, "invalid_floor", "floor"),
        ({"floor": "NaN"}, "invalid_amount", "floor"),
        ({"cap": "-1"}, "invalid_amount", "cap"),
        ({"cap": "1000.000000001"}, "invalid_cap", "cap"),
        ({"floor": "2", "cap": "1"}, "invalid_cap", "cap"),
        ({"target_ppm": 0}, "invalid_target", "target_ppm"),
        ({"target_ppm": 10**20}, "invalid_target_ppm", "target_ppm"),
        ({"mechanism": "uniform", "region": "The Moon"}, "invalid_region", "region"),
        ({"mechanism": "uniform", "resource_class": "toaster"}, "invalid_resource_class", "resource_class"),
        ({"mechanism": "uniform", "seed": 1}, "unknown_field", "seed"),
    ]
    before = rows(market)
    for changes, code, field in wrong:
        with subtests.test(str(changes)):
            refused = callers.admin.post("/api/v1/markets/rules", json=right | changes)
            assert problem(refused) == (422, code, field)
    assert rows(market) == before


def test_a_quote_has_an_end_an_explanation_and_cheaper_ways(callers: Callers, market: Swarmex, priced: Supply) -> None:
    def quoted() -> Any:
        return callers.user.post("/api/v1/quotes", json=workload(region="eu-1")).json()

    quote = quoted()
    assert datetime.fromisoformat(quote["valid_until"]) > utc_now()
    assert "cloud/eu-1 costs 0.001000000 credits per slot-second now" in quote["explanation"]
    assert quote["alternatives"] == []
    with market.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE markets SET spot_nano_per_slot_s = 1000000000000")
    with Supply(market, callers.provider.account_id, market.settings.folder / "other", region="eu-2"):
        quote = quoted()
    [way] = quote["alternatives"]
    assert (way["change"], way["market"], way["at"], way["spot_price"]) == ("region", "cloud/eu-2", None, "0.001000000")
    expected, cost, saving = (Decimal(x) for x in (quote["expected_cost"], way["expected_cost"], way["saving"]))
    assert saving == expected - cost > 0
    placed = callers.user.post("/api/v1/workloads", json=workload()).json()["quote"]
    assert (placed["alternatives"], placed["explanation"] > "") == ([], True)
