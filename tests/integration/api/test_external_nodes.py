"""Somebody else's inference server as a node: real requests, real orders, real money; and servers that misbehave."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import pytest
import tritonclient.http
from sqlalchemy import text

from agents.inference import sparing
from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, NodeId
from backend.messaging import server_look
from backend.messaging.inference_server import BREAKER_POLICY
from backend.services import audit, external_nodes
from tests.integration.api.callers import Callers
from tests.integration.api.external import Adapter, Elsewhere
from tests.integration.api.impostor import INDEX, MODEL, READY, Impostor, metadata, outputs
from tests.integration.api.impostor import INFER as RUN
from tests.integration.api.requests import ROW, body, workload
from tests.integration.api.supply import Supply
from tests.integration.api.test_inference import INFER, refused, settled
from tests.waiting import until

OPERATOR = Principal(None, AccountId(UUID(int=0)), Role.ADMIN)
DOUBLED = [2 * x for x in ROW]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions and breakers that a test can wait for."""
    monkeypatch.setattr("backend.gateway.leases.session.IDLE_S", 2.0)
    monkeypatch.setattr("agents.external.stand_in.BREAKER_POLICY", replace(BREAKER_POLICY, recovery_s=0.1))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    (tmp_path / "elsewhere").mkdir()
    with Elsewhere(tmp_path / "elsewhere") as server:
        yield server


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with Impostor() as server:
        yield server


@pytest.fixture
def adapter(market: Swarmex) -> Iterator[Adapter]:
    with Adapter(market) as running:
        yield running


def answered(callers: Callers) -> httpx.Response:
    """The answer to a request, as soon as there is one: signs of life may be late on a busy machine."""
    found: list[httpx.Response] = []

    def is_answered() -> bool:
        found.append(callers.user.post(INFER, json=body()))
        return found[-1].status_code == 200

    until(is_answered, "a request is answered")
    return found[-1]


def place(callers: Callers, requests: int) -> str:
    """Place a batch; where it can be looked at."""
    placed = callers.user.post(
        "/api/v1/orders", json=workload(workload="batch", requests=[body() for _ in range(requests)])
    )
    assert placed.status_code == 201, placed.text
    return f"/api/v1/orders/{placed.json()['id']}"


def paid(callers: Callers, path: str) -> float:
    """What an order cost, once it is settled."""
    until(lambda: callers.user.get(path).json()["state"] == "settled", "the order is paid")
    return float(callers.user.get(path).json()["charged"])


def items(market: Swarmex) -> list[tuple[str, int, int, int]]:
    """Of each item its state, attempts, what was reported and what is billed."""
    with market.engine.connect() as connection:
        found = connection.execute(text("SELECT state, attempt, reported_us, billed_us FROM work_items ORDER BY id"))
        return [tuple(row) for row in found]


def why_not(market: Swarmex, node: NodeId) -> list[str | None]:
    """Of each registered model why the server does not serve it, as a check says."""
    checked = external_nodes.check_server(market.uow(), utc_now(), node, OPERATOR)
    return [checked.why_down] if checked.why_down else [fit.why_not for fit in checked.fits]


def test_a_server_registered_by_its_url_answers_requests_and_orders_and_all_is_paid(
    market: Swarmex, callers: Callers, adapter: Adapter, elsewhere: Elsewhere
) -> None:
    node = adapter.add(callers.provider.account_id, elsewhere.url, elsewhere.credential)
    adapter.online(node)
    shown = adapter.shown(node)
    assert (shown.server.state, shown.server.told, shown.server.models) == ("up", None, ("scale 1",))
    assert why_not(market, node) == [None]

    assert answered(callers).json()["outputs"][0]["data"] == DOUBLED
    client = tritonclient.http.InferenceServerClient(str(callers.user.base_url).removeprefix("http://").rstrip("/"))
    row = tritonclient.http.InferInput("x", [1, 4], "FP32")
    row.set_data_from_numpy(np.array([ROW], np.float32))
    headers = {"Authorization": callers.user.headers["Authorization"], "Swarmex-Tier": "large"}
    assert client.infer("scale", [row], headers=headers).as_numpy("y").tolist() == [DOUBLED]
    client.close()
    assert answered(callers).headers["Swarmex-Node"] == "triton"

    assert paid(callers, place(callers, 150)) > 0, "more than one claim carries"
    ran = items(market)
    assert [(state, attempt) for state, attempt, _, _ in ran] == [("settled", 1)] * 150
    assert all(0 < billed <= reported for _, _, reported, billed in ran), "by the caller's clock, within the profile"
    assert elsewhere.answered > 2
    external_nodes.remove_server(market.uow(), utc_now(), node, OPERATOR)
    adapter.offline(node)
    assert all(order["charged_nano"] > 0 for order in settled(market))
    assert audit.audit_ledger(market.uow()).ok


def test_a_server_that_dies_is_gone_until_it_answers_again(
    callers: Callers, adapter: Adapter, elsewhere: Elsewhere
) -> None:
    node = adapter.add(callers.provider.account_id, elsewhere.url, elsewhere.credential)
    adapter.online(node)
    answered(callers)
    elsewhere.die()
    answer = callers.user.post(INFER, json=body())
    assert answer.status_code == 503, "nothing was run, and nobody else could"
    assert int(answer.headers["Retry-After"]) >= 1
    adapter.offline(node)
    until(lambda: adapter.shown(node).server.state == "down", "it is said to be down")
    assert "does not answer" in (adapter.shown(node).server.told or "")
    elsewhere.revive()
    adapter.online(node)
    answered(callers)
    assert adapter.shown(node).server.told is None


def test_what_a_dead_server_did_not_run_is_answered_elsewhere(
    callers: Callers, supply: Supply, adapter: Adapter, elsewhere: Elsewhere
) -> None:
    node = adapter.add(callers.provider.account_id, elsewhere.url, elsewhere.credential, ask_nano=1)
    adapter.online(node)
    assert answered(callers).headers["Swarmex-Node"] == "triton", "it is the cheaper"
    elsewhere.die()
    answer = callers.user.post(INFER, json=body())
    assert (answer.status_code, answer.headers["Swarmex-Node"]) == (200, supply.node.name)


def test_work_that_the_server_never_got_has_had_no_attempt(
    market: Swarmex, callers: Callers, adapter: Adapter, impostor: Impostor
) -> None:
    adapter.online(adapter.add(callers.provider.account_id, impostor.url))
    impostor.answers[RUN] = (503, b"the queue is full")
    path = place(callers, 1)
    asked = impostor.asked[RUN]
    until(lambda: impostor.asked[RUN] > asked + 8, "it was tried more often than an item may be")
    impostor.answers[RUN] = (200, outputs([1, 4], DOUBLED))
    assert paid(callers, path) > 0
    assert [(state, attempt) for state, attempt, _, _ in items(market)] == [("settled", 1)]


def test_a_server_that_is_always_ready_and_takes_nothing_does_not_keep_its_work_for_ever(
    market: Swarmex, callers: Callers, adapter: Adapter, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparing, "SPARED_MAX", 2)
    monkeypatch.setattr(sparing, "AWAY_S", 0.01)
    adapter.online(adapter.add(callers.provider.account_id, impostor.url))
    impostor.answers[RUN] = (503, b"the queue is full")
    place(callers, 1)
    until(lambda: items(market)[0][0] in ("dead", "settled", "cancelled"), "it has ended")


def test_a_server_is_asked_for_nothing_but_what_it_serves(
    market: Swarmex, callers: Callers, supply: Supply, adapter: Adapter, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with Elsewhere(tmp_path / "other", "another") as other:
        node = adapter.add(callers.provider.account_id, other.url, other.credential, ask_nano=1)
        adapter.online(node, models=0)
        assert why_not(market, node) == ["not in its index"]
        assert "none of the registered models" in (adapter.shown(node).server.told or "")
        for _ in range(3):
            assert answered(callers).headers["Swarmex-Node"] == supply.node.name
        assert other.answered == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((200, metadata(datatype="FP64")), "input x is FP64 [-1, 4]"),
        ((200, metadata(shape=[-1, 8])), "input x is FP32 [-1, 8]"),
        ((200, metadata(shape=[1, 4])), "input x is FP32 [1, 4]"),
        ((200, metadata(shape=[-1])), "input x is FP32 [-1]"),
        ((200, b'{"inputs": [], "outputs": []}'), "cannot be read"),
        ((200, b"<html>"), "cannot be read"),
        ((404, b""), "no such model or version"),
        ((500, b"oh"), "the server answered 500: oh"),
    ],
)
def test_a_model_that_is_not_ours_there_is_not_served(
    market: Swarmex, callers: Callers, adapter: Adapter, impostor: Impostor, said: tuple[int, bytes], told: str
) -> None:
    impostor.answers[MODEL] = said
    node = adapter.add(callers.provider.account_id, impostor.url)
    adapter.online(node, models=0)
    [why] = why_not(market, node)
    assert why is not None
    assert told in why


@pytest.mark.parametrize(
    "answer",
    [
        outputs([1, 5], [*DOUBLED, 1.0]),
        outputs([1, 4], ["a", "b", "c", "d"]),
        outputs([1, 4], DOUBLED, "INT64"),
        outputs([1, 4], [1.0]),
        b'{"outputs": []}',
        b"\x00" * 1_000,
    ],
)
def test_a_server_that_lies_about_its_signature_is_found_out_by_its_answers(
    callers: Callers, adapter: Adapter, impostor: Impostor, answer: bytes
) -> None:
    adapter.online(adapter.add(callers.provider.account_id, impostor.url))
    impostor.answers[RUN] = (200, answer)
    told = callers.user.post(INFER, json=body())
    assert refused(told)[0] >= 500
    assert "outputs" not in told.json()


def test_one_that_hangs_or_redirects_is_offline_and_holds_up_nobody(
    callers: Callers, adapter: Adapter, impostor: Impostor, elsewhere: Elsewhere
) -> None:
    impostor.hanging.add(READY)
    with Impostor() as elsewhere_sent:
        elsewhere_sent.answers[READY] = (302, b"")
        owner = callers.provider.account_id
        hangs = adapter.add(owner, impostor.url, name="hangs")
        sends = adapter.add(owner, elsewhere_sent.url, name="sends")
        works = adapter.add(owner, elsewhere.url, elsewhere.credential, name="works")
        adapter.online(works)
        until(lambda: adapter.shown(hangs).server.state == "down", "it did not answer in time")
        until(lambda: adapter.shown(sends).server.state == "down", "it is not ready")
        assert "302" in (adapter.shown(sends).server.told or "")
        assert elsewhere_sent.asked["/v2"] == 0, "nobody is sent elsewhere"
        assert not adapter.shown(hangs).node.alive
        assert answered(callers).headers["Swarmex-Node"] == "works"


def test_an_index_that_is_endless_is_not_read(
    monkeypatch: pytest.MonkeyPatch, callers: Callers, adapter: Adapter, impostor: Impostor
) -> None:
    monkeypatch.setattr(server_look, "DOCUMENT_BYTES_MAX", 1_000)
    impostor.answers[INDEX] = (200, b" " * 2_000)
    node = adapter.add(callers.provider.account_id, impostor.url)
    adapter.online(node)
    assert adapter.shown(node).server.models == ("scale 1",), "as if it had no index"


def test_its_credential_is_shown_to_the_server_and_to_nobody_else(
    market: Swarmex, callers: Callers, adapter: Adapter, impostor: Impostor
) -> None:
    secret = "hush-7f3a"
    new = {"name": "triton", "url": impostor.url, "credential": secret, "resource_class": "cloud", "region": "eu-1"}
    made = callers.admin.post("/api/v1/nodes/external", json=new | {"account": str(callers.provider.account_id)})
    assert made.status_code == 201, made.text
    node = NodeId(UUID(made.json()["node"]["id"]))
    adapter.online(node)
    assert impostor.authorizations == {f"Bearer {secret}"}
    listed = callers.provider.get("/api/v1/nodes/external")
    assert listed.json()[0]["has_credential"] is True
    checked = callers.provider.post(f"/api/v1/nodes/external/{node}/check")
    assert checked.json()["ready"] is True
    logged = callers.admin.get("/api/v1/audit-log", params={"subject": f"node {node}"})
    assert "node.add_server" in logged.text
    for answer in (made, listed, checked, logged):
        assert secret not in answer.text
    assert secret not in repr(adapter.shown(node))
    assert callers.provider.delete(f"/api/v1/nodes/external/{node}").status_code == 204
    with market.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM external_nodes")).scalar_one() == 0
    adapter.offline(node)
    again = callers.admin.post("/api/v1/nodes/external", json=new | {"account": str(callers.provider.account_id)})
    assert again.json()["node"]["id"] == str(node), "a removed one comes back as it was"
    adapter.online(node)
