"""Usage over HTTP: CloudEvents in each of their forms, meters and prices, and who sees what."""

import json
from typing import Any

import pytest

from backend.api.limits import BODY_BYTES_MAX
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.services import accounts, api_keys, audit
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
METER = {"name": "storage.gb_hours", "unit": "GB hours", "price": "0.001"}


@pytest.fixture
def meter(callers: Callers) -> dict[str, Any]:
    """A meter that pays the provider."""
    made = callers.admin.post("/api/v1/meters", json=METER | {"provider": str(callers.provider.account_id)})
    assert made.status_code == 201
    return dict(made.json())


def event(number: int = 1, quantity: object = "2.5", **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/storage",
        "type": METER["name"],
        "subject": "user-account",
        "data": {"quantity": quantity},
    } | changes


def report(client: Client, content: object, kind: str = ONE) -> Any:
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    return client.post("/api/v1/usage", content=body, headers={"Content-Type": kind})


def test_one_event_in_structured_mode_is_charged_once(callers: Callers, meter: dict[str, Any], market: Swarmex) -> None:
    first, again = report(callers.admin, event()), report(callers.admin, event(), f"{ONE}; charset=UTF-8")
    assert first.status_code == again.status_code == 200
    [outcome], [repeated] = first.json()["results"], again.json()["results"]
    assert (outcome["index"], outcome["outcome"], repeated["outcome"]) == (0, "accepted", "duplicate")
    assert repeated["usage"] == outcome["usage"]
    usage = outcome["usage"]
    assert (usage["quantity"], usage["amount"], usage["state"]) == ("2.5", "0.002500000", "charged")
    assert callers.user.get("/api/v1/accounts/me").json()["wallet"] == "99.997500000"
    assert callers.provider.get("/api/v1/accounts/me").json()["earnings"] == "0.002500000"
    assert audit.audit_ledger(market.uow()).ok


def test_one_event_in_binary_mode_is_the_same_event(callers: Callers, meter: dict[str, Any]) -> None:
    report(callers.admin, event(source="/storage north"))
    attributes = event(source="/storage%20north")
    data = attributes.pop("data")
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    [outcome] = callers.admin.post("/api/v1/usage", json=data, headers=headers).json()["results"]
    assert (outcome["outcome"], outcome["usage"]["source"]) == ("duplicate", "/storage north")
    missing = {name: value for name, value in headers.items() if name != "ce-subject"}
    refused = callers.admin.post("/api/v1/usage", json=data, headers=missing)
    assert problem(refused) == (422, "missing_field", "subject")


def test_the_headers_of_binary_mode_are_read_as_the_specification_says(
    callers: Callers, meter: dict[str, Any], market: Swarmex
) -> None:
    def sent(kind: str | None = "application/vnd.usage+json", **changes: str) -> Any:
        attributes = {name: value for name, value in (event() | changes).items() if name != "data"}
        headers = {f"CE-{name}": value for name, value in attributes.items()} | ({"Content-Type": kind} if kind else {})
        return callers.admin.post("/api/v1/usage", content=b'{"quantity": 1}', headers=headers)

    before = rows(market)
    for wrong in ("%C0%A0", "a%ff"):
        assert problem(sent(source=wrong)) == (422, "invalid_source", "source")
    assert problem(sent("text/xml")) == (422, "invalid_datacontenttype", "datacontenttype")
    assert rows(market) == before
    for source, read in (('"a \\"quoted\\" b%21"', 'a "quoted" b!'), ("a%2525", "a%25"), ("%e2%82%ac", "\u20ac")):
        [outcome] = sent(source=source).json()["results"]
        assert (outcome["outcome"], outcome["usage"]["source"]) == ("accepted", read)
    assert sent(None).json()["results"][0]["outcome"] == "accepted"


def test_an_empty_batch_is_a_batch(callers: Callers, meter: dict[str, Any], market: Swarmex) -> None:
    before = rows(market)
    answer = report(callers.admin, [], BATCH)
    assert (answer.status_code, answer.json()) == (200, {"results": []})
    assert rows(market) == before


def test_a_batch_has_an_answer_for_each_event_and_one_bad_one_does_not_sink_the_rest(
    callers: Callers, meter: dict[str, Any]
) -> None:
    events = [event(1), event(2, "x"), event(1), event(3, subject="provider-account"), event(1, "9")]
    answer = report(callers.admin, events, BATCH)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["index"] for r in results] == [0, 1, 2, 3, 4]
    assert [r["outcome"] for r in results] == ["accepted", "refused", "duplicate", "accepted", "refused"]
    assert [r["error"] and (r["error"]["code"], r["error"]["field"]) for r in results] == [
        None,
        ("invalid_quantity", "data.quantity"),
        None,
        None,
        ("event_reused", "id"),
    ]
    assert (results[3]["usage"]["state"], results[3]["unpaid_code"]) == ("unpaid", "insufficient_funds")


def test_a_number_is_as_exact_as_a_string(callers: Callers, meter: dict[str, Any]) -> None:
    body = json.dumps(event()).replace('"2.5"', "123456789012.654321")
    [outcome] = report(callers.admin, body).json()["results"]
    assert outcome["usage"]["quantity"] == "123456789012.654321"


def test_a_single_event_that_is_refused_is_refused_as_a_request(callers: Callers, meter: dict[str, Any]) -> None:
    before = report(callers.admin, event())
    assert before.status_code == 200
    assert problem(report(callers.admin, event(quantity="3"))) == (409, "event_reused", "id")
    assert problem(report(callers.admin, event(2, subject="nobody"))) == (404, "unknown_account", "subject")
    assert problem(report(callers.admin, event(2, type="nothing"))) == (404, "unknown_meter", "type")
    assert problem(report(callers.admin, event(2, specversion="0.3"))) == (422, "invalid_specversion", "specversion")


@pytest.mark.parametrize(
    ("content", "kind", "refused"),
    [
        ("{", ONE, (400, "invalid_json", "body")),
        ('{"id": NaN}', ONE, (400, "invalid_json", "body")),
        ("[" * 100_000, BATCH, (400, "invalid_json", "body")),
        (b"\xff", ONE, (400, "invalid_json", "body")),
        ([event()], ONE, (422, "invalid_event", "event")),
        (event(), BATCH, (422, "invalid_events", "body")),
        ([1] * 1_001, BATCH, (413, "too_large", "events")),
        (event(), f"{ONE}-seq", (422, "invalid_content_type", "Content-Type")),
        pytest.param(" " * (BODY_BYTES_MAX + 1), BATCH, (413, "too_large", "body"), id="too large"),
        (event(datacontenttype="text/xml"), ONE, (422, "invalid_datacontenttype", "datacontenttype")),
        (event(), "application/json", (422, "invalid_content_type", "Content-Type")),
        (event(), "", (422, "invalid_content_type", "Content-Type")),
    ],
)
def test_what_is_no_cloudevent_writes_nothing(
    callers: Callers,
    meter: dict[str, Any],
    market: Swarmex,
    content: object,
    kind: str,
    refused: tuple[int, str, str],
) -> None:
    before = rows(market)
    assert problem(report(callers.admin, content, kind)) == refused
    assert rows(market) == before


def test_only_admins_report_price_and_take_back(callers: Callers, meter: dict[str, Any], market: Swarmex) -> None:
    usage = report(callers.admin, event()).json()["results"][0]["usage"]["id"]
    before = rows(market)
    for client in (callers.user, callers.provider):
        assert report(client, event(2)).status_code == 403
        for path, body in [
            ("/api/v1/meters", METER | {"name": "other"}),
            (f"/api/v1/meters/{METER['name']}/prices", {"price": "1"}),
            (f"/api/v1/meters/{METER['name']}/rerate", {}),
            (f"/api/v1/usage/{usage}/void", {"reason": "mine"}),
        ]:
            assert client.post(path, json=body).status_code == 403
    assert rows(market) == before


def test_usage_is_seen_by_whoever_pays_for_it_and_by_admins(
    callers: Callers, meter: dict[str, Any], market: Swarmex
) -> None:
    rival = accounts.create_account(market.uow(), utc_now(), "rival")
    other = Client(str(callers.user.base_url), rival.id, api_keys.create_key(market.uow(), utc_now(), rival.id, "user"))
    report(callers.admin, [event(number) for number in range(3)], BATCH)
    mine = callers.user.get("/api/v1/usage", params={"limit": 2}).json()
    assert [usage["event_id"] for usage in mine["usage"]] == ["e2", "e1"]
    rest = callers.user.get("/api/v1/usage", params={"limit": 2, "before": mine["next_before"]}).json()
    assert ([usage["event_id"] for usage in rest["usage"]], rest["next_before"]) == (["e0"], None)
    path = f"/api/v1/usage/{mine['usage'][0]['id']}"
    assert callers.user.get(path).json() == callers.admin.get(path).json() == mine["usage"][0]
    assert problem(other.get(path)) == (404, "unknown_usage", "usage")
    assert other.get("/api/v1/usage").json() == {"usage": [], "next_before": None}
    buyer = {"account": str(callers.user.account_id)}
    assert problem(other.get("/api/v1/usage", params=buyer)) == (404, "unknown_account", "account")
    assert len(callers.admin.get("/api/v1/usage").json()["usage"]) == 3
    assert len(callers.admin.get("/api/v1/usage", params=buyer | {"state": "charged"}).json()["usage"]) == 3
    assert callers.admin.get("/api/v1/usage", params={"account": str(rival.id)}).json()["usage"] == []
    assert callers.admin.get("/api/v1/usage", params={"meter": "other"}).json()["usage"] == []
    assert problem(callers.user.get("/api/v1/usage", params={"state": "odd"})) == (422, "invalid_state", "state")
    assert problem(callers.user.get(f"/api/v1/usage/{new_id()}"))[:2] == (404, "unknown_usage")


def test_a_price_is_set_seen_and_corrects_what_was_charged(
    callers: Callers, meter: dict[str, Any], market: Swarmex
) -> None:
    assert (meter["price"], meter["version"]) == ("0.001000000", 1)
    report(callers.admin, event())
    prices = f"/api/v1/meters/{METER['name']}/prices"
    body = {"price": "0.003", "valid_from": "2026-01-01T00:00:00Z"}
    made = [callers.admin.post(prices, json=body, headers={"Idempotency-Key": "price"}).json() for _ in range(2)]
    assert made[0]["price"] == made[1]["price"]
    assert [done["rerated"] for done in made] == [
        {"corrected": count, "left_count": 0, "left": [], "continue_from": None} for count in (1, 0)
    ]
    assert [version["price"] for version in callers.user.get(prices).json()] == ["0.001000000", "0.003000000"]
    [listed] = callers.user.get("/api/v1/meters").json()
    assert (listed["price"], listed["unit"], listed["provider"]) == (
        "0.003000000",
        "GB hours",
        str(callers.provider.account_id),
    )
    assert callers.user.get("/api/v1/accounts/me").json()["wallet"] == "99.992500000"
    again = callers.admin.post(f"/api/v1/meters/{METER['name']}/rerate", json={}).json()
    assert again["corrected"] == 0
    assert audit.audit_ledger(market.uow()).ok


def test_usage_is_taken_back_once(callers: Callers, meter: dict[str, Any]) -> None:
    usage = report(callers.admin, event()).json()["results"][0]["usage"]["id"]
    for _ in range(2):
        void = callers.admin.post(f"/api/v1/usage/{usage}/void", json={"reason": "reported by mistake"})
        assert void.json()["state"] == "void"
    assert callers.user.get("/api/v1/accounts/me").json()["wallet"] == "100.000000000"
    assert problem(callers.admin.post(f"/api/v1/usage/{usage}/void", json={"reason": ""}))[0] == 422
    body = {"reason": "reported by mistake", "from_fund": True}
    assert callers.admin.post(f"/api/v1/usage/{usage}/void", json=body).json() == void.json()
    missing = callers.admin.post(f"/api/v1/usage/{new_id()}/void", json={"reason": "none"})
    assert problem(missing) == (404, "unknown_usage", "usage")


def test_a_meter_that_cannot_be_is_refused(callers: Callers, meter: dict[str, Any]) -> None:
    def refused(path: str = "", /, **body: Any) -> tuple[int, str, str | None]:
        return problem(callers.admin.post(f"/api/v1/meters{path}", json=body))

    assert refused(**METER) == (409, "meter_exists", "name")
    assert refused(**METER | {"name": "a b"}) == (422, "invalid_name", "name")
    assert refused(**METER | {"unit": " "}) == (422, "invalid_unit", "unit")
    assert refused(**METER | {"price": 1}) == (422, "invalid_amount", "price")
    assert refused(**METER | {"price": "-1"}) == (422, "invalid_amount", "price")
    assert refused(**METER | {"name": "m", "provider": str(new_id())}) == (404, "unknown_account", "account")
    assert refused("/nothing/prices", price="1") == (404, "unknown_meter", "meter")
    assert refused("/nothing/rerate") == (404, "unknown_meter", "meter")
    early = {"price": "1", "valid_from": "1969-12-31T23:59:59Z"}
    assert refused(f"/{METER['name']}/prices", **early) == (422, "invalid_valid_from", "valid_from")
    assert problem(callers.user.get("/api/v1/meters/nothing/prices")) == (404, "unknown_meter", "meter")
