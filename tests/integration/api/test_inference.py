"""Real-time inference through a leased node: a real server behind it, real windows, real money."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from backend.api.app import create_app
from backend.bootstrap import Swarmex, utc_now
from backend.domain.ids import LeaseId
from backend.domain.money import format_credits, parse_credits
from backend.domain.orders import CloseReason
from backend.services import audit, sessions
from tests.integration.api.callers import Callers, Client
from tests.integration.api.counting import rows
from tests.integration.api.requests import ROW, body, tensor
from tests.integration.api.supply import ASK_NANO, SLOTS, Supply
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S, until

INFER = "/v2/models/scale/infer"
LEASED = "SELECT * FROM orders WHERE id IN (SELECT order_id FROM leases) ORDER BY id"


def refused(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a protocol refusal, which is one sentence."""
    assert set(response.json()) == {"error"}
    assert response.json()["error"]
    return response.status_code, response.headers["Swarmex-Error-Code"]


def settled(market: Swarmex) -> list[dict[str, Any]]:
    """All session orders that got a lease, once each has been settled."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        sessions.settle_windows(market.uow(), utc_now())
        with market.engine.connect() as connection:
            found = [dict(row) for row in connection.execute(text(LEASED)).mappings()]
        if all(order["state"] == "settled" for order in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    until(condition, "it is so")


def paused(market: Swarmex) -> int:
    """How many leases wait for money."""
    with market.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM leases WHERE paused_at IS NOT NULL")).scalar_one())


def test_an_inference_is_answered_by_the_leased_node_and_says_what_it_costs(callers: Callers, supply: Supply) -> None:
    response = callers.user.post(INFER, json=body(id="one"))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer == {
        "model_name": "scale",
        "model_version": "1",
        "id": "one",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2 * x for x in ROW]}],
    }
    assert response.headers["Swarmex-Node"] == supply.node.name
    assert parse_credits(response.headers["Swarmex-Price"]) == ASK_NANO
    assert 0 <= parse_credits(response.headers["Swarmex-Charge"], zero=True) < ASK_NANO * 30
    assert float(response.headers["Swarmex-Latency-Ms"]) > 0
    assert response.headers["Swarmex-Lease"]


def test_an_id_that_was_not_given_is_not_invented(callers: Callers, supply: Supply) -> None:
    assert "id" not in callers.user.post(INFER, json=body()).json()


def test_nested_data_and_a_named_version_work_as_well(callers: Callers, supply: Supply) -> None:
    rows_of_two = tensor(shape=[2, 4], data=[ROW, ROW])
    response = callers.user.post("/v2/models/scale/versions/1/infer", json={"inputs": [rows_of_two]})
    assert response.json()["outputs"][0]["shape"] == [2, 4]


def test_many_requests_at_once_share_one_session_of_one_slot(callers: Callers, supply: Supply, market: Swarmex) -> None:
    def ask(_: int) -> tuple[int, str]:
        response = callers.user.post(INFER, json=body())
        return response.status_code, response.headers.get("Swarmex-Lease", response.text)

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(ask, range(64)))
    assert len(answers) == 1
    assert answers.pop()[0] == 200
    assert rows(market)["leases"] == 1


def test_each_tier_has_a_session_of_its_own(callers: Callers, supply: Supply) -> None:
    leases = {
        callers.user.post(INFER, json=body(), headers={"Swarmex-Tier": tier}).headers["Swarmex-Lease"]
        for tier in ("medium", "large", "enterprise", "medium")
    }
    assert len(leases) == 3


def test_an_idle_session_ends_and_is_charged_for_the_time_that_it_was_open(
    callers: Callers, supply: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 1)
    started = time.monotonic()
    assert callers.user.post(INFER, json=body()).status_code == 200
    wait_for(lambda: callers.user.get("/api/v1/prices").json()[0]["slots_free"] == SLOTS)
    open_s = time.monotonic() - started
    [order] = settled(market)
    assert (order["state"], order["reason"]) == ("settled", "session_idle")
    assert ASK_NANO * 0.9 <= order["charged_nano"] <= ASK_NANO * (open_s + 0.1)
    account = callers.user.get("/api/v1/accounts/me").json()
    assert account["reserved"] == "0.000000000"
    assert parse_credits(account["wallet"]) == 100 * 10**9 - order["charged_nano"]
    assert audit.audit_ledger(market.uow()).ok
    assert callers.user.post(INFER, json=body()).status_code == 200  # a new session opens on demand


def test_a_session_in_use_buys_its_next_window_before_the_first_is_over(
    callers: Callers, supply: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.RENEW_AT", 0.0)  # due at once
    callers.user.post(INFER, json=body())
    wait_for(lambda: rows(market)["windows"] >= 2)
    time.sleep(1.2)  # two more looks: a window that has not begun is not followed up
    assert rows(market)["windows"] == 2
    account = callers.user.get("/api/v1/accounts/me").json()
    assert parse_credits(account["reserved"]) >= 2 * 30 * ASK_NANO


def test_a_session_whose_next_window_cannot_be_paid_is_paused_and_goes_on_once_there_is_money(
    callers: Callers, supply: Supply, market: Swarmex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.session.RENEW_AT", 0.0)
    limit = {"Swarmex-Limit": format_credits(ASK_NANO)}
    one_window = {
        "account": str(callers.provider.account_id),
        "amount": format_credits(30 * ASK_NANO),
        "reference": "one window",
    }
    callers.admin.post("/api/v1/deposits", json=one_window)
    assert callers.provider.post(INFER, json=body(), headers=limit).status_code == 200
    wait_for(lambda: paused(market) == 1)
    assert callers.provider.post(INFER, json=body()).status_code == 200  # what is paid is served
    callers.admin.post("/api/v1/deposits", json=one_window | {"reference": "another"})
    wait_for(lambda: paused(market) == 0)
    assert (rows(market)["windows"], rows(market)["leases"]) == (2, 1)


def test_without_funds_there_is_no_session_and_the_status_says_why(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    before = rows(market)
    assert refused(callers.provider.post(INFER, json=body())) == (402, "insufficient_funds")
    assert rows(market) == before


def test_a_session_that_was_ended_elsewhere_is_dropped_and_a_new_one_opened(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    first = callers.user.post(INFER, json=body()).headers["Swarmex-Lease"]
    sessions.end(market.uow(), utc_now(), LeaseId(UUID(first)), CloseReason.NODE_LOST)
    wait_for(lambda: callers.user.post(INFER, json=body()).headers["Swarmex-Lease"] != first)


def test_a_node_that_cannot_be_reached_ends_the_session_and_the_next_request_gets_another(
    callers: Callers, supply: Supply, market: Swarmex
) -> None:
    assert callers.user.post(INFER, json=body()).status_code == 200
    supply.server.stop()
    codes = {}
    while "node_unreachable" not in codes:  # a request may still meet the last connection as it closes
        broken = callers.user.post(INFER, json=body())
        status, code = refused(broken)
        codes[code] = status
        assert broken.headers["Retry-After"] == "1"
    assert set(codes.values()) == {503}
    [order] = settled(market)
    assert (order["state"], order["reason"]) == ("settled", "node_lost")


def test_a_market_that_does_not_decide_is_unavailable_and_says_so(
    callers: Callers, supply: Supply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.leases.opening.SESSION_WAIT_S", 0.3)
    supply.clearing.clear()
    response = callers.user.post(INFER, json=body())
    assert refused(response) == (503, "no_lease_in_time")
    assert response.headers["Retry-After"]


def test_a_limit_below_every_ask_is_refused_at_once(callers: Callers, supply: Supply) -> None:
    low = callers.user.post(INFER, json=body(), headers={"Swarmex-Limit": "0.000000001"})
    assert refused(low) == (422, "limit_below_market")


def test_a_limit_below_the_open_sessions_price_is_refused_and_the_session_kept(
    callers: Callers, supply: Supply
) -> None:
    lease = callers.user.post(INFER, json=body()).headers["Swarmex-Lease"]
    low = callers.user.post(INFER, json=body(), headers={"Swarmex-Limit": "0.000000001"})
    assert refused(low) == (409, "limit_below_session_price")
    assert callers.user.post(INFER, json=body()).headers["Swarmex-Lease"] == lease


BAD_BODIES: list[tuple[Any, str]] = [
    ([], "invalid_tensor"),
    ({}, "invalid_tensor"),
    (body(id=5), "invalid_tensor"),
    (body(outputs=[{"name": "z"}]), "invalid_tensor"),
    (body(inputs=[]), "invalid_tensor"),
    (body(inputs=[tensor(name="z")]), "invalid_tensor"),
    (body(inputs=[tensor(shape=[4])]), "invalid_tensor"),
    (body(inputs=[tensor(shape=[1, 5])]), "invalid_tensor"),
    (body(inputs=[tensor(shape=[-1, 4])]), "invalid_tensor"),
    (body(inputs=[tensor(shape=["1", 4])]), "invalid_tensor"),
    (body(inputs=[tensor(datatype="FP64")]), "invalid_tensor"),
    (body(inputs=[tensor(data=ROW[:3])]), "invalid_tensor"),
    (body(inputs=[tensor(data="abcd")]), "invalid_tensor"),
    (body(inputs=[tensor(data=[[1, 2], [3, [4]]])]), "invalid_tensor"),
    (body(inputs=[tensor(data=[True] * 4)]), "invalid_tensor"),
    (body(inputs=[tensor(data=[1e39] * 4)]), "invalid_tensor"),
    (body(inputs=[tensor(), tensor()]), "invalid_tensor"),
]


def test_a_tensor_that_does_not_fit_is_refused_before_any_lease_is_bought(
    callers: Callers, supply: Supply, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for sent, code in BAD_BODIES:
        with subtests.test(str(sent)[:80]):
            assert refused(callers.user.post(INFER, json=sent)) == (400, code)
    for content in (b"", b"{", b"\xff", b'{"inputs": NaN}', b"[" * 100_000, rb'{"id": "\ud800"}'):
        with subtests.test(repr(content[:20])):
            assert refused(callers.user.post(INFER, content=content)) == (400, "invalid_json")
    for header, code in (
        ({"Inference-Header-Content-Length": "10"}, "invalid_header_length"),
        ({"Content-Encoding": "gzip"}, "compression_not_offered"),
    ):
        with subtests.test(code):
            assert refused(callers.user.post(INFER, content=b"{}", headers=header)) == (400, code)
    assert rows(market) == before


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Swarmex-Tier": "small"}, 503, "no_capacity"),  # there is no node of its classes
        ({"Swarmex-Tier": "huge"}, 422, "invalid_tier"),
        ({"Swarmex-Limit": "cheap"}, 422, "invalid_amount"),
        ({"Swarmex-Limit": "1e-30"}, 422, "invalid_amount"),
        ({"Authorization": "Bearer swx_wrong"}, 401, "unauthenticated"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(
    callers: Callers, supply: Supply, market: Swarmex, headers: dict[str, str], status: int, code: str
) -> None:
    before = rows(market)
    assert refused(callers.user.post(INFER, json=body(), headers=headers)) == (status, code)
    assert rows(market) == before


def test_unknown_models_versions_and_routes_are_not_found_in_the_protocols_words(callers: Callers) -> None:
    for path in ("/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/scale/versions/2", "/v2/models/a%00b",
                 "/v2/models/scale/versions/x", "/v2/models/" + "m" * 500):  # fmt: skip
        status, code = refused(callers.user.get(path))
        assert (status, code) in [(404, "unknown_model"), (404, "unknown_model_version")], path
    assert refused(callers.user.get("/v2/models/scale/versions/x"))[1] == "unknown_model_version", "the model is known"
    assert refused(callers.user.get("/v2/nowhere")) == (404, "unknown_route")
    assert refused(callers.user.get(INFER)) == (405, "method_not_allowed")


def test_metadata_speaks_the_protocol(callers: Callers) -> None:
    assert callers.stranger.get("/v2").json()["name"] == "swarmex"
    assert callers.stranger.get("/v2/health/live").json() == {"live": True}
    assert refused(callers.stranger.get("/v2/models/scale")) == (401, "unauthenticated")
    for path in ("/v2/models/scale", "/v2/models/scale/versions/1"):
        about = callers.user.get(path).json()
        assert (about["name"], about["versions"]) == ("scale", ["1"])
        assert about["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert callers.user.get(f"{path}/ready").json() == {"name": "scale", "ready": True}


def test_ending_the_server_ends_its_sessions_so_that_nobody_pays_on(
    market: Swarmex, supply: Supply, callers: Callers
) -> None:
    with serving(create_app(market)) as address:
        client = Client(address, callers.user.account_id, callers.user.key)
        assert client.post(INFER, json=body()).status_code == 200
    [order] = settled(market)
    assert order["state"] == "settled"
    assert order["charged_nano"] < 30 * ASK_NANO
