"""The tiers over HTTP: anyone reads them, admins change them."""

from typing import Any

import pytest

from backend.bootstrap import Swarmex
from backend.domain.tiers import TIERS
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows

PATH = "/api/v1/tiers"
SMALL: dict[str, Any] = {
    "tier": "small",
    "version": 1,
    "classes": ["mobile", "fog"],
    "slots_max": 4,
    "request_cap": "5.000000000",
    "month_cap": "100.000000000",
    "latency_ms_p95": 2_000,
    "uptime_ppm": 990_000,
    "weight": 1,
    "reserved_ppm": 100_000,
    "ladder": [
        {"below_uptime_ppm": 990_000, "credit_ppm": 300_000},
        {"below_uptime_ppm": 950_000, "credit_ppm": 1_000_000},
    ],
    "rank": 3,
}


def settings(answer: dict[str, Any]) -> dict[str, Any]:
    """A version without its times."""
    return {name: value for name, value in answer.items() if name not in ("valid_from", "created_at")}


def without_fees(tiers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tiers without what is not of their versions."""
    return [{name: value for name, value in tier.items() if name != "fee_ppm"} for tier in tiers]


def test_anyone_reads_the_tiers_and_admins_change_them(callers: Callers) -> None:
    born = callers.user.get(PATH).json()
    assert [tier["tier"] for tier in born] == list(TIERS)
    fees = {fee["tier"]: fee["fee_ppm"] for fee in callers.user.get("/api/v1/fees").json()}
    assert [tier.pop("fee_ppm") for tier in born] == [fees[name] for name in TIERS]
    assert settings(born[0]) == SMALL
    body = {"slots_max": 8, "ladder": [{"below_uptime_ppm": 900_000, "credit_ppm": 500_000}]}
    assert problem(callers.provider.post(f"{PATH}/small", json=body))[0] == 403
    made = callers.admin.post(f"{PATH}/small", json=body)
    assert (made.status_code, settings(made.json())) == (201, SMALL | body | {"version": 2})
    assert without_fees(callers.user.get(PATH).json()) == [made.json(), *born[1:]]
    later = {"weight": 2, "valid_from": "2999-01-01T00:00:00+01:00"}
    scheduled = callers.admin.post(f"{PATH}/small", json=later).json()
    assert (scheduled["valid_from"], scheduled["slots_max"]) == ("2998-12-31T23:00:00Z", 8)
    assert without_fees(callers.user.get(PATH).json())[0] == made.json()
    assert callers.user.get(f"{PATH}/small/versions").json() == [born[0], made.json(), scheduled]


def test_a_monthly_cap_is_shown_among_everybodys_budgets(callers: Callers) -> None:
    body = {"request_cap": "7.5", "month_cap": "150"}
    made = callers.admin.post(f"{PATH}/small", json=body).json()
    assert (made["request_cap"], made["month_cap"]) == ("7.500000000", "150.000000000")
    found = callers.user.get("/api/v1/budgets").json()
    assert [b["amount"] for b in found if b["tier"] == "small"] == ["150.000000000"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "nothing_to_change", "tier"),
        ({"slots_max": 0}, "invalid_slots_max", "slots_max"),
        ({"slots_max": "4"}, "invalid_slots_max", "slots_max"),
        ({"slots_max": 2**40}, "invalid_slots_max", "slots_max"),
        ({"weight": 1.5}, "invalid_weight", "weight"),
        ({"request_cap": "0"}, "invalid_amount", "request_cap"),
        ({"request_cap": 5}, "invalid_amount", "request_cap"),
        ({"request_cap": "101"}, "invalid_request_cap", "request_cap"),
        ({"classes": []}, "invalid_classes", "classes"),
        ({"classes": ["fog", "fog"]}, "invalid_classes", "classes"),
        ({"classes": ["moon"]}, "invalid_classes", "classes"),
        ({"reserved_ppm": 100_001}, "invalid_reserved_ppm", "reserved_ppm"),
        ({"ladder": [{"below_uptime_ppm": 999_000, "credit_ppm": 1}]}, "invalid_ladder", "ladder"),
        ({"month_cap": "200", "valid_from": "2999-01-01T00:00:00Z"}, "invalid_valid_from", "valid_from"),
        ({"weight": 2, "valid_from": "2020-01-01T00:00:00Z"}, "invalid_valid_from", "valid_from"),
        ({"fee_ppm": 1}, "unknown_field", "fee_ppm"),
    ],
)
def test_what_can_be_no_tier_is_refused_and_not_written(
    callers: Callers, market: Swarmex, body: dict[str, Any], code: str, field: str
) -> None:
    before = rows(market)
    assert problem(callers.admin.post(f"{PATH}/small", json=body)) == (422, code, field)
    assert rows(market) == before


def test_a_tier_that_there_is_not_is_refused_with_those_that_there_are(callers: Callers) -> None:
    for answer in (
        callers.user.get(f"{PATH}/giant/versions"),
        callers.admin.post(f"{PATH}/giant", json={"weight": 2}),
    ):
        assert problem(answer) == (422, "invalid_tier", "tier")
        assert answer.json()["error"]["accepted"] == "small, medium, large, enterprise"
