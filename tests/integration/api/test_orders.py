"""The front door against real services: what is placed, answered again, listed, cancelled and refused."""

import itertools
from typing import Any

import pytest

from backend.bootstrap import Swarmex
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.requests import body, tensor, workload
from tests.integration.api.supply import Supply

PLACES = ["/api/v1/workloads", "/api/v1/orders"]


REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"model": "nobody"}, 404, "unknown_model", "model"),
    ({"model": "a\x00b"}, 422, "invalid_model", "model"),
    ({"model_version": 7}, 404, "unknown_model_version", "model_version"),
    ({"model_version": 2**40}, 422, "invalid_model_version", "model_version"),
    ({"workload": "training"}, 422, "workload_not_offered", "workload"),
    ({"workload": "session"}, 422, "invalid_workload", "workload"),
    ({"workload": "poetry"}, 422, "invalid_workload", "workload"),
    ({"tier": "huge"}, 422, "invalid_tier", "tier"),
    ({"priority": "luck"}, 422, "invalid_priority", "priority"),
    ({"slots": 0}, 422, "invalid_slots", "slots"),
    ({"slots": 257}, 422, "invalid_slots", "slots"),
    ({"slots": "2"}, 422, "invalid_slots", "slots"),
    ({"deadline_s": -1}, 422, "invalid_deadline_s", "deadline_s"),
    ({"participants": 3}, 422, "not_applicable", "participants"),
    ({"sla_required": True, "tier": "small"}, 422, "sla_not_offered", "sla_required"),
    ({"sla_required": "yes"}, 422, "invalid_sla_required", "sla_required"),
    ({"region": "moon"}, 503, "no_capacity", "region"),
    ({"tier": "small"}, 503, "no_capacity", "tier"),
    ({"limit": "0.000000001"}, 422, "limit_below_market", "limit"),
    ({"max_budget": "0.000000001"}, 422, "budget_too_low", "max_budget"),
    ({"surprise": 1}, 422, "unknown_field", "surprise"),
    ({"requests": []}, 422, "invalid_requests", "requests"),
    ({"requests": {}}, 422, "invalid_requests", "requests"),
    ({"requests": ["x"]}, 422, "invalid_requests", "requests[0]"),
    ({"requests": [body(), body()]}, 422, "invalid_requests", "requests"),
    ({"requests": [{}]}, 422, "invalid_tensor", "inputs"),
    ({"inputs": [tensor()]}, 422, "invalid_requests", "body"),
    ({"requests": [body(inputs=[tensor(name="z")])]}, 422, "invalid_tensor", "inputs[0].name"),
    ({"requests": [body(inputs=[tensor(shape=[1, 5])])]}, 422, "invalid_tensor", "inputs[0].shape"),
    ({"requests": [body(inputs=[tensor(shape=[10**9, 4])])]}, 422, "invalid_tensor", "inputs[0].shape"),
    ({"requests": [body(inputs=[tensor(datatype="INT64")])]}, 422, "invalid_tensor", "inputs[0].datatype"),
    ({"requests": [body(inputs=[tensor(data=[1, 2])])]}, 422, "invalid_tensor", "inputs[0].data"),
    ({"requests": [body(inputs=[tensor(data=["a"] * 4)])]}, 422, "invalid_tensor", "inputs[0].data"),
    ({"requests": [body(inputs=[tensor(data=[1e300] * 4)])]}, 422, "invalid_tensor", "inputs[0].data"),
    ({"requests": [body(inputs=[tensor(data=[2**70] * 4)])]}, 422, "invalid_tensor", "requests[0]"),
    ({"requests": [body(inputs=[tensor(), tensor()])]}, 422, "invalid_tensor", "inputs[1].name"),
]


@pytest.fixture
def paused(supply: Supply) -> Supply:
    """A market on which orders stay open."""
    supply.clearing.clear()
    return supply


def test_a_workload_is_placed_with_its_quote_and_its_worst_case_held(callers: Callers, paused: Supply) -> None:
    before = callers.user.get("/api/v1/accounts/me").json()
    response = callers.user.post("/api/v1/workloads", json=workload(max_budget="1", priority="cost"))
    assert response.status_code == 201, response.text
    quote, [order] = response.json()["quote"], response.json()["orders"]
    assert (order["state"], order["priority"], order["tier"]) == ("open", "cost", "large")
    assert order["worst_case"] == quote["worst_case"]
    after = callers.user.get("/api/v1/accounts/me").json()
    assert float(after["reserved"]) == pytest.approx(float(before["reserved"]) + float(order["worst_case"]))
    assert after["wallet"] == before["wallet"] == "100.000000000"


def test_a_quote_says_what_a_workload_would_be_placed_at_and_writes_nothing(
    callers: Callers, paused: Supply, market: Swarmex
) -> None:
    before = rows(market)
    quote = callers.user.post("/api/v1/quotes", json=workload())
    assert quote.status_code == 200, quote.text
    assert rows(market) == before
    placed = callers.user.post("/api/v1/workloads", json=workload()).json()["quote"]
    assert placed.pop("valid_until") > quote.json()["valid_until"]
    assert quote.json() == placed | {"valid_until": quote.json()["valid_until"]}


def test_inputs_are_short_for_a_single_request(callers: Callers, paused: Supply) -> None:
    response = callers.user.post("/api/v1/orders", json=workload(requests=None, inputs=[tensor()]))
    assert response.status_code == 201, response.text
    assert len(callers.user.get(f"/api/v1/orders/{response.json()['id']}/results").json()) == 1


@pytest.mark.parametrize("path", [*PLACES, "/api/v1/orders:batch"])
def test_the_same_key_and_body_get_the_same_answer_and_one_order(
    callers: Callers, paused: Supply, market: Swarmex, path: str
) -> None:
    sent = {"orders": [workload(), workload(tier="small")]} if path.endswith("batch") else workload()
    header = {"Idempotency-Key": "k-1"}
    first = callers.user.post(path, json=sent, headers=header)
    before = rows(market)
    again = callers.user.post(path, json=sent, headers=header)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert rows(market) == before
    other = callers.user.post(path, json=sent | {"orders": [workload()]} if "orders" in sent else workload(slots=2),
                              headers=header)  # fmt: skip
    assert problem(other) == (409, "idempotency_key_reused", "Idempotency-Key")
    assert rows(market) == before


def test_a_key_used_on_one_route_cannot_be_used_on_another(callers: Callers, paused: Supply) -> None:
    header = {"Idempotency-Key": "k-1"}
    assert callers.user.post(PLACES[0], json=workload(), headers=header).status_code == 201
    assert problem(callers.user.post(PLACES[1], json=workload(), headers=header))[1] == "idempotency_key_reused"


def test_two_accounts_may_use_the_same_key(callers: Callers, paused: Supply, market: Swarmex) -> None:
    header = {"Idempotency-Key": "k-1"}
    first = callers.user.post(PLACES[1], json=workload(), headers=header)
    reference = {"account": str(callers.admin.account_id), "amount": "5", "reference": "r"}
    assert callers.admin.post("/api/v1/deposits", json=reference).status_code == 201
    second = callers.admin.post(PLACES[1], json=workload(), headers=header)
    assert first.json()["id"] != second.json()["id"]


def test_an_idempotency_key_that_cannot_be_kept_is_refused(callers: Callers, paused: Supply) -> None:
    for key in (b"", b"x" * 129, b"a\tb", "ключ".encode()):
        response = callers.user.post(PLACES[1], json=workload(), headers={b"Idempotency-Key": key})
        assert problem(response) == (422, "invalid_idempotency_key", "Idempotency-Key"), key


def test_a_batch_places_what_is_right_and_says_per_index_what_is_not(callers: Callers, paused: Supply) -> None:
    sent = [
        workload(),
        workload(model="nobody"),
        workload(max_budget=1.5),
        "not even an object",
        workload(requests=[body(inputs=[tensor(shape=[1, 5])])]),
        workload(priority="cost"),
    ]
    response = callers.user.post("/api/v1/orders:batch", json={"orders": sent})
    assert response.status_code == 201, response.text
    results = response.json()["results"]
    assert [r["index"] for r in results] == list(range(6))
    assert [bool(r["order"]) for r in results] == [True, False, False, False, False, True]
    assert [r["error"]["code"] for r in results if r["error"]] == [
        "unknown_model",
        "invalid_amount",
        "invalid_body",
        "invalid_tensor",
    ]
    assert [r["error"]["field"] for r in results if r["error"]][1] == "max_budget"


def test_a_batch_of_none_or_too_many_is_refused(callers: Callers) -> None:
    for count in (0, 1_001):
        response = callers.user.post("/api/v1/orders:batch", json={"orders": [{}] * count})
        assert problem(response) == (422, "invalid_orders", "orders"), count


def test_a_thousand_orders_are_placed_in_one_request(callers: Callers, paused: Supply, market: Swarmex) -> None:
    response = callers.user.post("/api/v1/orders:batch", json={"orders": [workload()] * 1_000})
    assert response.status_code == 201
    assert all(result["order"] for result in response.json()["results"])
    assert rows(market)["orders"] == 1_000


def test_orders_are_listed_newest_first_page_by_page_and_by_state(callers: Callers, paused: Supply) -> None:
    ids = [callers.user.post("/api/v1/orders", json=workload()).json()["id"] for _ in range(5)]
    first = callers.user.get("/api/v1/orders", params={"limit": 3}).json()
    second = callers.user.get("/api/v1/orders", params={"limit": 3, "before": first["next_before"]}).json()
    assert [o["id"] for o in first["orders"] + second["orders"]] == ids[::-1]
    assert second["next_before"] is None
    callers.user.post(f"/api/v1/orders/{ids[0]}/cancel")
    listed = callers.user.get("/api/v1/orders", params={"state": "cancelled"}).json()["orders"]
    assert [o["id"] for o in listed] == [ids[0]]


def test_a_list_that_cannot_be_given_is_refused_with_the_parameter(callers: Callers) -> None:
    for field, value in {"limit": "0", "state": "odd", "before": "x"}.items():
        refused = callers.user.get("/api/v1/orders", params={field: value})
        assert problem(refused) == (422, f"invalid_{field}", field)
    assert problem(callers.user.get("/api/v1/orders?limit=many"))[1] == "invalid_limit"


def test_a_cancelled_order_gives_its_hold_back_and_a_receipt_without_a_charge(callers: Callers, paused: Supply) -> None:
    order = callers.user.post("/api/v1/orders", json=workload()).json()
    cancelled = callers.user.post(f"/api/v1/orders/{order['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert callers.user.post(f"/api/v1/orders/{order['id']}/cancel").json() == cancelled.json()
    receipt = callers.user.get(f"/api/v1/orders/{order['id']}/receipt").json()
    assert (receipt["charged"], receipt["held"]) == ("0.000000000", receipt["released"])
    account = callers.user.get("/api/v1/accounts/me").json()
    assert account["available"] == account["wallet"]
    assert account["reserved"] == "0.000000000"


def test_another_accounts_order_does_not_exist_for_anybody_but_admins(callers: Callers, paused: Supply) -> None:
    order = callers.user.post("/api/v1/orders", json=workload()).json()["id"]
    for path in ("", "/receipt", "/results"):
        assert problem(callers.provider.get(f"/api/v1/orders/{order}{path}"))[:2] == (404, "unknown_order")
        assert callers.admin.get(f"/api/v1/orders/{order}{path}").status_code == 200
    assert problem(callers.provider.post(f"/api/v1/orders/{order}/cancel"))[:2] == (404, "unknown_order")
    assert callers.provider.get("/api/v1/orders").json()["orders"] == []
    assert [o["id"] for o in callers.admin.get("/api/v1/orders").json()["orders"]] == [order]
    assert callers.user.get(f"/api/v1/orders/{order}").json()["state"] == "open"


def test_an_absurd_amount_is_refused_and_nothing_is_written(
    callers: Callers, paused: Supply, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    amounts = [1, 0.5, 1e20, True, [], "NaN", "1e20", "1e-30", "-1", "abc", "", "0", "99999999999", "0.0000000001"]
    for field, amount, path in itertools.product(("max_budget", "limit"), amounts, PLACES):
        with subtests.test(f"{field} {amount!r} to {path}"):
            refused = callers.user.post(path, json=workload(**{field: amount}))
            assert problem(refused) == (422, "invalid_amount", field)
    assert rows(market) == before


def test_what_cannot_be_placed_is_refused_by_name_and_nothing_is_written(
    callers: Callers, paused: Supply, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for changes, status, code, field in REFUSED:
        with subtests.test(str(changes)[:80]):
            sent = workload(**changes)
            response = callers.user.post("/api/v1/workloads", json=sent, headers={"Idempotency-Key": "k"})
            assert problem(response) == (status, code, field)
            assert response.json()["error"]["accepted"]
    assert rows(market) == before


def test_without_funds_nothing_is_placed_and_the_answer_says_so(
    callers: Callers, paused: Supply, market: Swarmex
) -> None:
    before = rows(market)
    assert problem(callers.provider.post("/api/v1/orders", json=workload())) == (
        402,
        "insufficient_funds",
        "max_budget",
    )
    assert rows(market) == before


def test_a_body_that_is_no_object_is_refused(callers: Callers, market: Swarmex, subtests: pytest.Subtests) -> None:
    before = rows(market)
    contents = [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"orders": NaN}']
    for path, content in itertools.product([*PLACES, "/api/v1/orders:batch", "/api/v1/quotes"], contents):
        with subtests.test(f"{content!r} to {path}"):
            response = callers.user.post(path, content=content, headers={"Content-Type": "application/json"})
            status, code, _ = problem(response)
            assert (status, code) in [
                (400, "invalid_json"),
                (422, "invalid_body"),
                (422, "missing_field"),
                (422, "invalid_orders"),
            ]
    assert rows(market) == before
