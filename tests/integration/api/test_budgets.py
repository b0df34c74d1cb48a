"""Budgets and alerts over HTTP: set by who manages an account, seen as they fill, and told of once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from backend.bootstrap import Swarmex
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.lab import Lab, founded
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply

BUDGETS, ALERTS, ORDERS = "/api/v1/budgets", "/api/v1/alerts", "/api/v1/orders"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def worst(callers: Callers, supply: Supply) -> int:
    """What an order of the tests sets aside, in nano-credits; none is cleared before the test ends."""
    supply.clearing.clear()
    return int(callers.user.post("/api/v1/quotes", json=order()).json()["worst_case"].replace(".", ""))


@pytest.fixture
def lab(market: Swarmex, callers: Callers) -> Iterator[Lab]:
    """An organisation with two members."""
    made = founded(market, callers)
    yield made
    for client in (made.ana, made.ben, made.ana_for_lab, made.ben_for_lab):
        client.close()


def order(**changes: Any) -> dict[str, Any]:
    """A batch of one request at a limit: a job."""
    return workload(workload="batch", limit="1") | changes


def credits_of(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09d}"


def set_budget(client: Client, nano: int, period: str = "month", **wish: object) -> dict[str, Any]:
    made = client.post(BUDGETS, json={"period": period, "amount": credits_of(nano)} | wish)
    assert made.status_code == 201, made.text
    return dict(made.json())


def own(client: Client) -> list[dict[str, Any]]:
    """What an account is held to by itself, without everybody's budgets."""
    return [b for b in client.get(BUDGETS).json() if b["account"]]


def placed(client: Client, **changes: Any) -> list[httpx.Response]:
    """Orders until one is refused, four at most."""
    responses = []
    for _ in range(4):
        responses.append(client.post(ORDERS, json=order(**changes)))
        if responses[-1].status_code != 201:
            break
    return responses


def told(client: Client, **params: object) -> list[tuple[str, int, str]]:
    """Alerts, newest first: kind, percentage and use."""
    found = client.get(ALERTS, params=params).json()["alerts"]  # type: ignore[arg-type]  # a test's own words
    return [(alert["kind"], alert["percent"], alert["used"]) for alert in found]


def test_a_budget_fills_while_orders_are_placed_and_what_it_refuses_says_what_is_left(
    callers: Callers, worst: int
) -> None:
    limit = 2 * worst + worst // 2
    budget = set_budget(callers.user, limit)
    assert (budget["used"], budget["left"], budget["used_percent"]) == ("0.000000000", credits_of(limit), 0.0)
    first = callers.user.post(ORDERS, json=order()).json()
    [half] = own(callers.user)
    assert (half["used"], half["left"], half["used_percent"]) == (credits_of(worst), credits_of(limit - worst), 40.0)
    *granted, refused = placed(callers.user)
    assert (len(granted), problem(refused)) == (1, (402, "budget_exceeded", "max_budget"))
    error = refused.json()["error"]
    left, asked = credits_of(worst // 2), credits_of(worst)
    assert error["message"] == f"the budget per month has {left} credits left, {asked} asked"
    resets_at = datetime.fromisoformat(budget["resets_at"])
    assert error["accepted"] == f"at most {left} credits, or more from {resets_at.isoformat()} on"
    assert own(callers.user)[0]["left"] == left
    assert callers.user.post(f"{ORDERS}/{first['id']}/cancel").json()["state"] == "cancelled"
    assert own(callers.user)[0]["left"] == credits_of(limit - worst)


@pytest.mark.parametrize(("period", "other"), [("request", "batch"), ("job", "inference")])
def test_a_budget_for_each_request_or_job_refuses_those_above_it_and_does_not_add_up(
    callers: Callers, worst: int, period: str, other: str
) -> None:
    kind = {"request": "inference", "job": "batch"}[period]
    budget = set_budget(callers.user, worst, period)
    assert (budget["used"], budget["left"], budget["used_percent"], budget["resets_at"]) == (None, None, None, None)
    fitting = [callers.user.post(ORDERS, json=order(workload=kind)) for _ in range(2)]
    assert [r.status_code for r in fitting] == [201, 201], fitting[0].text
    set_budget(callers.user, worst - 1, period)
    refused = callers.user.post(ORDERS, json=order(workload=kind))
    assert problem(refused) == (402, "budget_exceeded", "max_budget")
    assert refused.json()["error"]["accepted"] == f"at most {credits_of(worst - 1)} credits"
    assert callers.user.post(ORDERS, json=order(workload=other)).status_code == 201


def test_a_tiers_budget_holds_for_that_tier_only(callers: Callers, worst: int) -> None:
    assert set_budget(callers.user, worst - 1, "day", tier="large")["tier"] == "large"
    assert problem(callers.user.post(ORDERS, json=order(tier="large")))[:2] == (402, "budget_exceeded")
    assert callers.user.post(ORDERS, json=order(tier="medium")).status_code == 201


@pytest.mark.parametrize("timezone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_a_day_and_a_month_begin_at_midnight_of_the_budgets_time_zone(callers: Callers, timezone: str) -> None:
    zone = ZoneInfo(timezone)
    for period in ("day", "month"):
        budget = set_budget(callers.user, 5, period, timezone=timezone)
        since, until = (datetime.fromisoformat(budget[name]).astimezone(zone) for name in ("since", "resets_at"))
        assert budget["timezone"] == timezone
        assert {moment.time().isoformat() for moment in (since, until)} == {"00:00:00"}
        assert since <= datetime.now(UTC) < until
        if period == "day":
            assert until.date() - since.date() == timedelta(days=1)
        else:
            assert (since.day, until.day, (until.month - since.month) % 12) == (1, 1, 1)


def test_another_time_zone_takes_the_place_of_the_budget_and_one_that_ended_limits_nothing(
    callers: Callers, worst: int
) -> None:
    first = set_budget(callers.user, worst)
    assert set_budget(callers.user, 2 * worst)["id"] == first["id"]
    moved = set_budget(callers.user, worst, timezone="Asia/Tokyo")
    assert [b["id"] for b in own(callers.user)] == [moved["id"]] != [first["id"]]
    *granted, refused = placed(callers.user)
    assert (len(granted), problem(refused)[1]) == (1, "budget_exceeded")
    ended = callers.user.post(f"{BUDGETS}/{moved['id']}/end").json()
    assert (ended["id"], ended["used"], own(callers.user)) == (moved["id"], credits_of(worst), [])
    assert len(placed(callers.user)) == 4
    for gone in (first["id"], moved["id"], NOBODY):
        assert problem(callers.user.post(f"{BUDGETS}/{gone}/end")) == (404, "unknown_budget", "budget")


def test_members_share_a_budget_and_one_of_them_has_an_own(callers: Callers, lab: Lab, worst: int) -> None:
    lab.deposit(100 * worst)
    set_budget(callers.user, 3 * worst, "day", account=lab.id)
    of_ana = set_budget(callers.user, worst, account=lab.id, member=str(lab.ana.account_id))
    assert (of_ana["account"], of_ana["member"]) == (lab.id, str(lab.ana.account_id))
    assert [r.status_code for r in placed(lab.ana_for_lab)] == [201, 402]
    assert [r.status_code for r in placed(lab.ben_for_lab)] == [201, 201, 402]
    shared, of_ana = own(lab.ben_for_lab)
    assert (shared["used_percent"], of_ana["used"]) == (100.0, credits_of(worst))
    assert callers.user.get(lab.path).json()["budgets"][:2] == [shared, of_ana]
    assert own(callers.user) == []
    assert [kind for kind, _, _ in told(lab.ana_for_lab)] == ["budget"] * 6
    assert told(callers.user) == []


def test_only_who_manages_an_account_sets_and_ends_its_budgets(callers: Callers, lab: Lab, market: Swarmex) -> None:
    wish = {"period": "day", "amount": "1", "account": lab.id}
    made = callers.user.post(BUDGETS, json=wish).json()
    before = rows(market)
    for client, expected in (
        (lab.ana, (403, "owner_needed", "role")),
        (lab.ana_for_lab, (403, "owner_needed", "role")),
        (callers.provider, (404, "unknown_account", "account")),
    ):
        assert problem(client.post(BUDGETS, json=wish)) == expected
    assert problem(lab.ana_for_lab.post(f"{BUDGETS}/{made['id']}/end"))[:2] == (403, "owner_needed")
    assert problem(callers.provider.post(f"{BUDGETS}/{made['id']}/end")) == (404, "unknown_budget", "budget")
    refused = callers.provider.get(BUDGETS, params={"account": lab.id})
    assert problem(refused) == (404, "unknown_account", "account")
    assert rows(market) == before
    assert callers.admin.post(BUDGETS, json=wish | {"amount": "2"}).json()["id"] == made["id"]
    assert made["id"] in [b["id"] for b in callers.admin.get(BUDGETS, params={"account": lab.id}).json()]
    assert callers.admin.post(f"{BUDGETS}/{made['id']}/end").json()["amount"] == "2.000000000"


def test_everybodys_budgets_are_the_operators_and_hold_each_account(callers: Callers, worst: int) -> None:
    made = callers.admin.post(BUDGETS, json={"period": "day", "amount": credits_of(worst), "everyone": True}).json()
    assert made["account"] is None
    assert made["id"] in [b["id"] for b in callers.user.get(BUDGETS).json()]
    assert [r.status_code for r in placed(callers.user)] == [201, 402]
    assert problem(callers.user.post(f"{BUDGETS}/{made['id']}/end")) == (403, "forbidden", "account")
    assert callers.admin.post(f"{BUDGETS}/{made['id']}/end").status_code == 200
    assert callers.user.post(ORDERS, json=order()).status_code == 201


def test_a_soft_budget_lets_everything_through_and_tells_each_threshold_once(callers: Callers, worst: int) -> None:
    assert set_budget(callers.user, worst * 10 // 8, "day", mode="soft")["mode"] == "soft"
    responses = placed(callers.user)
    assert [r.status_code for r in responses] == [201] * 4
    once = [
        ("budget", 100, credits_of(2 * worst)),
        ("budget", 90, credits_of(2 * worst)),
        ("budget", 80, credits_of(worst)),
    ]
    assert sorted(told(callers.user), reverse=True) == once
    for response in responses:
        callers.user.post(f"{ORDERS}/{response.json()['id']}/cancel")
    placed(callers.user)
    assert sorted(told(callers.user), reverse=True) == once
    assert own(callers.user)[0]["left"] == "0.000000000"


def test_a_wallet_tells_when_it_runs_low(callers: Callers, lab: Lab, worst: int) -> None:
    lab.deposit(worst * 10 // 8)
    placed(lab.ana_for_lab)
    assert told(lab.ana_for_lab) == [("wallet", 80, credits_of(worst))]
    [alert] = callers.admin.get(ALERTS, params={"account": lab.id}).json()["alerts"]
    assert (alert["subject"], alert["account"]) == (lab.id, lab.id)


def test_alerts_are_paged_and_ones_own(callers: Callers, worst: int) -> None:
    set_budget(callers.user, worst)
    placed(callers.user)
    percents = [percent for _, percent, _ in told(callers.user)]
    assert sorted(percents) == [80, 90, 100]
    page = callers.admin.get(ALERTS, params={"limit": 2}).json()
    assert [a["percent"] for a in page["alerts"]] == percents[:2]
    assert [p for _, p, _ in told(callers.admin, before=page["next_before"])] == percents[2:]
    user = str(callers.user.account_id)
    assert [p for _, p, _ in told(callers.admin, account=user)] == percents
    assert told(callers.admin, account=str(callers.provider.account_id)) == []
    assert told(callers.provider) == []
    refused = callers.provider.get(ALERTS, params={"account": user})
    assert problem(refused) == (404, "unknown_account", "account")
    assert problem(callers.user.get(ALERTS, params={"limit": 0}))[0] == 422


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"period": "year"}, (422, "invalid_period", "period")),
        ({"period": None}, (422, "missing_field", "period")),
        ({"mode": "firm"}, (422, "invalid_mode", "mode")),
        ({"tier": "giant"}, (422, "invalid_tier", "tier")),
        ({"amount": "-1"}, (422, "invalid_amount", "amount")),
        ({"amount": 1.5}, (422, "invalid_amount", "amount")),
        ({"amount": "1.0000000001"}, (422, "invalid_amount", "amount")),
        ({"timezone": "Mars/Olympus"}, (422, "invalid_timezone", "timezone")),
        ({"timezone": "+02:00"}, (422, "invalid_timezone", "timezone")),
        ({"member": NOBODY}, (404, "unknown_member", "member")),
        ({"account": NOBODY}, (404, "unknown_account", "account")),
        ({"account": "lab"}, (422, "invalid_account", "account")),
        ({"everyone": True}, (403, "forbidden", "account")),
        ({"limit": "5"}, (422, "unknown_field", "limit")),
    ],
)
def test_what_is_no_budget_is_refused_with_its_field_and_not_written(
    callers: Callers, market: Swarmex, changes: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    before = rows(market)
    asked = {"period": "day", "amount": "1"} | changes
    refused = callers.user.post(BUDGETS, json={name: value for name, value in asked.items() if value is not None})
    assert problem(refused) == expected
    assert rows(market) == before
