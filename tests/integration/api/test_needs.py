"""Hardware of nodes and needs of orders over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.bootstrap import Swarmex
from backend.domain.ids import OrderId
from backend.domain.orders import CloseReason, OrderState
from backend.domain.pricing import Market
from backend.storage.orders import Move
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply

HARDWARE: dict[str, Any] = {
    "cores": 32,
    "memory_mb": 131_072,
    "gpu_model": "a100",
    "gpu_memory_mb": 81_920,
    "accelerators": 2,
    "residency": "de",
    "latency_ms": 5,
}
NUMBERS = ["cores", "memory_mb", "gpu_memory_mb", "accelerators", "latency_ms_max", "trust_min_ppm"]
ABSURD = ["NaN", "Infinity", "-1", "0", "1e400", "1e3", "2.5", "1" + "0" * 30, "true", '"8"', "[]", "{}"]
NODE, OTHER = str(uuid4()), str(uuid4())
CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"dedicated": True, "spread": True}, "contradictory_needs", "needs.spread"),
    ({"only": [NODE, OTHER], "never": [OTHER]}, "contradictory_needs", "needs.never"),
    ({"only": []}, "invalid_only", "needs.only"),
    ({"residency": []}, "invalid_residency", "needs.residency"),
    ({"residency": ["DE"]}, "invalid_residency", "needs.residency"),
    ({"gpu_model": "A 100 "}, "invalid_gpu_model", "needs.gpu_model"),
    ({"only": ["rack-1"]}, "invalid_only", "needs.only[0]"),
    ({"never": [str(uuid4()) for _ in range(101)]}, "invalid_never", "needs.never"),
    ({"dedicated": "yes"}, "invalid_dedicated", "needs.dedicated"),
    ({"speed": 3}, "unknown_field", "needs.speed"),
]


@pytest.fixture
def paused(supply: Supply) -> Supply:
    """A market on which orders stay open."""
    supply.clearing.clear()
    return supply


def test_a_node_is_registered_and_listed_with_its_hardware(callers: Callers) -> None:
    node = {"name": "gpu-1", "resource_class": "cloud", "region": "eu-1", "slots": 2}
    made = callers.provider.post("/api/v1/nodes", json=node | HARDWARE)
    assert made.status_code == 201, made.text
    assert made.json() == made.json() | HARDWARE | {"trust_ppm": 50_000}
    plain = callers.provider.post("/api/v1/nodes", json=node | {"name": "plain"}).json()
    assert (plain["cores"], plain["memory_mb"], plain["gpu_model"], plain["accelerators"]) == (1, 1_024, None, 0)
    listed = {n["name"]: n for n in callers.provider.get("/api/v1/nodes").json()}
    assert (listed["gpu-1"], listed["plain"]) == (made.json(), plain)


def test_hardware_that_cannot_be_is_refused_by_its_field_and_nothing_is_written(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    node = {"name": "n", "resource_class": "cloud", "region": "eu-1", "slots": 1}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        *(({name: value}, f"invalid_{name}", name) for name in ("cores", "memory_mb") for value in (0, -1, 2**31, 1.5)),
        *(({name: -1}, f"invalid_{name}", name) for name in ("gpu_memory_mb", "accelerators", "latency_ms")),
        *(({name: "É"}, f"invalid_{name}", name) for name in ("gpu_model", "residency")),
        ({"accelerators": 0}, "contradictory_hardware", "accelerators"),
    ]
    before = rows(market)
    for changes, code, field in wrong:
        with subtests.test(str(changes)):
            refused = callers.provider.post("/api/v1/nodes", json=node | HARDWARE | changes)
            assert problem(refused) == (422, code, field)
    assert rows(market) == before


def test_an_order_shows_what_it_needs_and_what_would_have_matched(callers: Callers, paused: Supply) -> None:
    needs = {"cores": 1, "never": [NODE], "spread": True}
    made = callers.user.post("/api/v1/orders", json=workload(needs=needs, interruptible=True))
    assert made.status_code == 201, made.text
    order = callers.user.get(f"/api/v1/orders/{made.json()['id']}").json()
    assert order == made.json()
    assert (order["needs"], order["interruptible"], order["would_match"]) == (needs, True, None)
    again = callers.user.get(f"/api/v1/orders/{order['id']}/receipt").json()["order"]
    assert again["needs"] == needs
    plain = callers.user.post("/api/v1/orders", json=workload()).json()
    assert (plain["needs"], plain["interruptible"]) == ({}, False)


def test_an_order_that_got_nothing_shows_what_would_have_matched_it(
    callers: Callers, paused: Supply, market: Swarmex
) -> None:
    order = callers.user.post("/api/v1/orders", json=workload()).json()
    hint = {"limit": "0.002000000", "needs": [{"need": "cores", "wanted": "8", "best": "1"}]}
    with market.uow() as uow:
        here = Market("cloud", "eu-1")
        uow.orders.move([Move(OrderId(UUID(order["id"])), here, CloseReason.NEEDS_UNMET, hint, OrderState.OPEN)])
        uow.commit()
    shown = callers.user.get(f"/api/v1/orders/{order['id']}").json()
    assert shown == order | {"reason": "needs_unmet", "would_match": hint}


@pytest.mark.parametrize("path", ["workloads", "orders", "quotes"])
def test_a_number_that_is_none_is_refused_by_name_and_nothing_is_written(
    callers: Callers, paused: Supply, market: Swarmex, path: str, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    whole = callers.user.build_request("POST", "/", json=workload(needs={"cores": "?"})).content.decode()
    for name in NUMBERS:
        for value in ABSURD:
            with subtests.test(f"{name} {value}"):
                content = whole.replace('"cores":"?"', f'"{name}":{value}')
                headers = {"Content-Type": "application/json"}
                refused = callers.user.post(f"/api/v1/{path}", content=content, headers=headers)
                assert problem(refused) == (422, f"invalid_{name}", f"needs.{name}")
    assert rows(market) == before


def test_needs_that_contradict_each_other_are_refused_by_name_and_nothing_is_written(
    callers: Callers, paused: Supply, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for needs, code, field in CONTRADICTIONS:
        with subtests.test(str(needs)[:80]):
            refused = callers.user.post("/api/v1/orders", json=workload(needs=needs))
            assert problem(refused) == (422, code, field)
            assert refused.json()["error"]["accepted"]
    batch = [workload(needs=needs) for needs, _, _ in CONTRADICTIONS]
    results = callers.user.post("/api/v1/orders:batch", json={"orders": batch}).json()["results"]
    assert [(r["error"]["code"], r["error"]["field"]) for r in results] == [wrong[1:] for wrong in CONTRADICTIONS]
    assert rows(market) == before


def test_needs_that_no_node_meets_are_refused_with_the_best_there_is(
    callers: Callers, paused: Supply, market: Swarmex
) -> None:
    before = rows(market)
    for path in ("workloads", "orders", "quotes"):
        refused = callers.user.post(f"/api/v1/{path}", json=workload(needs={"memory_mb": 4_096}))
        assert problem(refused) == (503, "needs_unmet", "needs.memory_mb")
        assert refused.json()["error"]["accepted"] == "memory_mb 1024"
        assert "4096 wanted" in refused.json()["error"]["message"]
        refused = callers.user.post(f"/api/v1/{path}", json=workload(needs={"dedicated": True}, slots=3))
        assert problem(refused) == (503, "needs_unmet", "slots")
        assert refused.json()["error"]["accepted"] == "4 or more, or dedicated left out"
    assert rows(market) == before


def test_with_failover_another_region_serves_what_the_named_one_cannot(callers: Callers, paused: Supply) -> None:
    assert problem(callers.user.post("/api/v1/orders", json=workload(region="moon")))[1] == "no_capacity"
    made = callers.user.post("/api/v1/orders", json=workload(region="moon", failover=True))
    assert (made.status_code, made.json()["region"]) == (201, "eu-1")


def test_the_schema_documents_each_need(callers: Callers) -> None:
    schemas = callers.stranger.get("/openapi.json").json()["components"]["schemas"]
    needs = schemas["Needs"]["properties"]
    assert set(NUMBERS) | {"gpu_model", "residency", "dedicated", "spread", "only", "never"} == set(needs)
    assert all(field["description"] for field in needs.values())
    assert schemas["Needs"]["additionalProperties"] is False
