"""Private orders on machines of others: the same keys, shown and proven over HTTP, and nothing readable on the way."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.private_items import PrivateItems
from agents.inference.runner import UnitReport, UnitRunner
from agents.inference.sealing_keys import KeyRing
from agents.model_cache import ModelCache
from backend.bootstrap import new_id, utc_now
from backend.domain.ids import OrderId
from backend.domain.orders import OrderState
from backend.domain.private_envelope import RECIPIENTS_MAX, answer_outputs
from backend.domain.private_sealing import KeyPair
from backend.domain.sealing_keys import UNVERIFIED_MAX, HeldKey, KeyState
from backend.domain.work import ItemResult
from backend.services import orders, sealing_keys
from backend.storage.key_folder import KeyFolder
from tests.integration.remote.machines import client_of
from tests.integration.remote.nodes import Remote, RemoteNode
from tests.private import (
    ADMIN,
    MARKER,
    SECRET_BODY,
    answers,
    body,
    keys_of,
    leaks_in_database,
    seal,
    verified,
    wanted,
    wire,
)


class Attic:
    """A machine that has joined, with its key in its folder."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.market = remote.market
        self.node: RemoteNode = remote.join()
        self.keys = KeyFolder(folder / "keys")
        self.ring = KeyRing(self.node.port, self.keys)
        models = LoadedModels(ModelCache(folder / "cache", self.node.port), OnnxEngine())
        claims = ClaimKeeper(self.node.port)
        self.runner = UnitRunner(self.node.port, models, claims, private=PrivateItems(self.keys))

    def run(self) -> list[UnitReport]:
        """What became of what waits for it."""
        self.market.clear()
        return [self.runner.run(unit) for unit in self.node.poll()]


@pytest.fixture
def attic(remote: Remote, tmp_path: Path) -> Attic:
    return Attic(remote, tmp_path)


@pytest.fixture
def user(remote: Remote) -> Iterator[httpx.Client]:
    with client_of(remote.market, remote.url) as client:
        yield client


def refused(client: httpx.Client, body: dict[str, Any], path: str = "/api/v1/workloads") -> tuple[int, str, str]:
    """Status, code and field of a refusal."""
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["field"]


def workload(private: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A private workload as a client sends it."""
    base = {"workload": "inference", "model": "doubling", "model_version": 1, "tier": "medium"}
    return base | {"private": private} | changes


def test_a_machine_of_somebody_else_serves_a_private_order_that_came_over_http(
    attic: Attic, user: httpx.Client
) -> None:
    market = attic.market
    attic.ring.refresh()  # which nodes it serves, that it has a key, and what its challenge said: at once
    [key] = keys_of(market, attic.node.id)
    assert key.state is KeyState.PROVEN
    told = user.get("/api/v1/sealing-keys", params={"model": "doubling"}).json()
    assert (told["model_version"], told["checksum"]) == (1, market.model.ref.checksum)
    assert (told["keys"], told["recipients_max"]) == ([], RECIPIENTS_MAX)
    sealing_keys.verify(market.app.uow(), utc_now(), ADMIN, key.id, key.fingerprint)
    [listed] = user.get("/api/v1/sealing-keys", params={"model": "doubling", "tier": "small"}).json()["keys"]
    assert (listed["id"], listed["fingerprint"]) == (str(key.id), key.fingerprint)
    assert listed["public_key"] == b64encode(key.public).decode()
    envelope, keys = seal(market, [key], SECRET_BODY, body((1.0, 2.0)))
    placed = user.post("/api/v1/workloads", json=workload(wire(envelope), workload="batch"))
    assert placed.status_code == 201, placed.text
    [order] = placed.json()["orders"]
    assert order["private"]
    assert leaks_in_database(market.app.engine) == []
    assert [(r.claimed, r.committed) for r in attic.run()] == [(2, 2)]
    market.settle()
    results = user.get(f"/api/v1/orders/{order['id']}/results").json()
    assert [set(result["response"]) for result in results] == [{"sealed"}, {"sealed"}]
    assert answers(market, OrderId(UUID(order["id"])), keys) == [[2 * MARKER, 4.0], [2.0, 4.0]]
    assert leaks_in_database(market.app.engine) == []


def test_a_revoked_key_of_a_remote_node_is_given_nothing(attic: Attic) -> None:
    market = attic.market
    key = verified(market, attic.ring, attic.node.id)
    market.place(**wanted(market, seal(market, [key])[0]))
    market.clear()
    [unit] = attic.node.poll()
    sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, key.id)
    assert attic.node.port.claim(unit) == []


def test_an_open_answer_to_a_private_item_and_a_sealed_one_to_another_are_not_paid_for(attic: Attic) -> None:
    market, node = attic.market, attic.node
    key = verified(market, attic.ring, node.id)
    for changes, outputs in (
        (wanted(market, seal(market, [key])[0]), b'{"outputs":[]}'),
        ({"requests": [SECRET_BODY]}, answer_outputs(bytes(100))),
    ):
        [order] = market.place(**changes)
        market.clear()
        [item] = node.claim()
        assert node.port.commit([ItemResult(item.item_id, item.fence, 5, outputs)]) == set()
        market.settle()
        assert market.show(order).state is OrderState.RUNNING
        orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)


def test_a_node_shows_keys_of_its_own_only_and_no_more_than_so_many(attic: Attic) -> None:
    node, market = attic.node, attic.market
    other = market.node("other").id
    for _ in range(20):
        node.port.show_keys([HeldKey(node.id, KeyPair.new().public)])
    assert len(keys_of(market, node.id)) == UNVERIFIED_MAX
    assert keys_of(market, other) == []
    assert node.send("sealing-key", {"public_key": "?"}) == (422, "malformed_envelope", "public_key")
    assert node.send("sealing-key", {"agent": str(new_id())}) == (404, "unknown_agent", "agent")
    short = b64encode(b"short").decode()
    answer = node.http.post("/api/v1/node/work/sealing-key", json=node.message({"public_key": short}))
    assert answer.json() == {"node": str(node.id), "state": None, "challenge": None}


def test_a_key_that_nothing_can_be_sealed_to_ends_at_once(attic: Attic) -> None:
    attic.node.port.show_keys([HeldKey(attic.node.id, bytes(32))])
    [key] = keys_of(attic.market, attic.node.id, ended=True)
    assert key.state is KeyState.REVOKED


def test_what_a_client_got_wrong_is_named_and_costs_nothing(attic: Attic, user: httpx.Client) -> None:
    market = attic.market
    key = verified(market, attic.ring, attic.node.id)
    good = wire(seal(market, [key])[0])
    recipient, item = good["recipients"][0], good["items"][0]
    cases: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        (workload(good | {"nonce": "?"}), (422, "malformed_envelope", "private.nonce")),
        (workload(good | {"nonce": 3}), (422, "malformed_envelope", "private.nonce")),
        (workload(good | {"version": 2}), (422, "malformed_envelope", "private.version")),
        (workload(good | {"recipients": []}), (422, "malformed_envelope", "private.recipients")),
        (workload(good | {"recipients": [recipient] * 2}), (422, "malformed_envelope", "private.recipients")),
        (
            workload(good | {"recipients": [recipient] * (RECIPIENTS_MAX + 1)}),
            (413, "too_many_recipients", "private.recipients"),
        ),
        (
            workload(good | {"recipients": [recipient | {"key": str(new_id())}]}),
            (422, "unknown_sealing_key", "private.recipients[0].key"),
        ),
        (workload(good | {"items": [item | {"rows": 0}]}), (422, "malformed_envelope", "private.items[0].rows")),
        (workload(good | {"items": []}), (422, "invalid_requests", "requests")),
        (workload(good, requests=[SECRET_BODY]), (422, "private_and_plain", "requests")),
        (workload(good, model_version=None), (422, "missing_model_version", "model_version")),
        (workload(good | {"key": "x"}), (422, "unknown_field", "private.key")),
    ]
    for sent, said in cases:
        assert refused(user, sent) == said
        assert refused(user, sent, "/api/v1/quotes") == said
    assert market.wallet().reserved_nano == 0
    revoked = sealing_keys.revoke(market.app.uow(), utc_now(), ADMIN, key.id)
    assert revoked.state is KeyState.REVOKED
    assert refused(user, workload(good)) == (503, "sealing_key_not_verified", "private.recipients[0].key")


def test_a_plain_request_that_calls_itself_private_is_refused(attic: Attic, user: httpx.Client) -> None:
    told = user.post("/v2/models/doubling/infer", json=SECRET_BODY | {"parameters": {"private": True}})
    assert told.status_code == 400
    assert "it would not be private" in told.text
    assert attic.market.wallet().reserved_nano == 0
    plain = {"workload": "inference", "model": "doubling", "tier": "medium"}
    asked = plain | {"requests": [SECRET_BODY | {"parameters": {"private": True}}]}
    assert refused(user, asked) == (422, "private_not_offered", "parameters")
