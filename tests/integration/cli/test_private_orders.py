"""`swarmex order place --private` and `swarmex node sealing-key`: from an unknown key to an answer that is read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.private_items import PrivateItems
from agents.inference.runner import UnitRunner
from agents.inference.sealing_keys import KeyRing
from agents.model_cache import ModelCache
from agents.work_port import DirectWorkPort
from backend.bootstrap import Settings, Swarmex, new_id
from backend.cli.private import Ready
from backend.domain.errors import Invalid, SwarmexError, Unavailable
from backend.domain.ids import AgentId, NodeId, SealingKeyId
from backend.domain.orders import WorkloadRequest
from backend.domain.private_sealing import KeyPair, SealedModel, seal_order
from backend.domain.work import AgentBeat
from backend.services import log
from backend.services.orders import PlacedWorkload
from backend.storage.key_folder import KeyFolder
from tests.integration.cli.runner import Cli
from tests.market import Market
from tests.private import MARKER, SECRET_BODY, body, leaks_in_database, proven


class Shop:
    """The command line at a market, beside an agent of its pool with a folder of keys."""

    def __init__(self, cli: Cli, market: Market, folder: Path) -> None:
        self.cli = cli
        self.market = market
        self.folder = folder
        agent_id = AgentId(new_id())
        port = DirectWorkPort(market.node_database, agent_id, market.app.bus)
        market.keep_alive(
            lambda: port.beat(
                AgentBeat(agent_id, "inference", "test", "host", 1, "pool.pool", "http://127.0.0.1:1", "t")
            )
        )
        keys = KeyFolder(market.app.settings.sealing)
        models = LoadedModels(ModelCache(folder / "cache", market.app.objects), OnnxEngine())
        self.ring = KeyRing(port, keys)
        self.runner = UnitRunner(port, models, ClaimKeeper(port), private=PrivateItems(keys))

    def node(self, name: str) -> NodeId:
        """A node whose key is proven."""
        node_id = self.market.node(name).id
        proven(self.market, self.ring, node_id)
        return node_id

    def verify(self, name: str) -> dict[str, Any]:
        """Its key, compared and verified."""
        told = {one["node"]: one["fingerprint"] for one in self.cli.json("node", "sealing-key", "mine")}
        node_id = self.cli.json("node", "show", name)["id"]
        verified: dict[str, Any] = self.cli.json("node", "sealing-key", "verify", name, "--fingerprint", told[node_id])
        return verified

    def requests(self, *bodies: dict[str, Any]) -> Path:
        """A file of requests."""
        path = self.folder / "requests.json"
        path.write_text(json.dumps(list(bodies)))
        return path

    def place(self, *options: object, bodies: tuple[dict[str, Any], ...] = (SECRET_BODY,)) -> tuple[object, ...]:
        """The command line that places requests, with the nodes alive."""
        self.market.stay_alive()
        base = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium")
        return (*base, "--input", self.requests(*bodies), *options)

    def run(self) -> None:
        """Clear, run and settle."""
        self.market.clear()
        for dispatch in self.market.dispatched():
            self.runner.run(dispatch.unit_id)
        self.market.settle()


@pytest.fixture
def shop(cli: Cli, market: Market, tmp_path: Path) -> Shop:
    return Shop(cli, market, tmp_path)


def test_a_private_order_from_the_key_to_the_answer(shop: Shop, cli: Cli, tmp_path: Path) -> None:
    shop.node("trusted")
    assert shop.verify("trusted")["state"] == "verified"
    bodies = (SECRET_BODY, body((1.0, 2.0), (3.0, 4.0)))
    placed = cli.json(*shop.place("--private", "--workload", "batch", bodies=bodies))
    [order] = placed["orders"]
    assert order["private"]
    assert leaks_in_database(shop.market.app.engine) == []
    kept = tmp_path / "data" / "private" / f"{order['id']}.json"
    assert oct(kept.stat().st_mode)[-3:] == "600"
    assert oct(kept.parent.stat().st_mode)[-3:] == "700"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    shop.run()
    shown = cli.json("order", "show", order["id"], "--results")
    assert shown["order"]["state"] == "settled"
    answered = [result["response"]["outputs"][0]["data"] for result in shown["results"]]
    assert answered == [[2 * MARKER, 4.0], [2.0, 4.0, 6.0, 8.0]]
    assert leaks_in_database(shop.market.app.engine) == []


def test_answers_that_cannot_be_read_here_say_where_they_can_be(shop: Shop, cli: Cli, tmp_path: Path) -> None:
    shop.node("trusted")
    shop.verify("trusted")
    [order] = cli.json(*shop.place("--private"))["orders"]
    shop.run()
    kept = tmp_path / "data" / "private" / f"{order['id']}.json"
    keys = kept.read_text()
    kept.unlink()
    done = cli.run("order", "show", order["id"], "--results")
    assert done.code == 0
    assert "sealed to a key that is not in" in done.err
    assert str(2 * MARKER) not in done.out
    kept.write_text(keys.replace('"rows": [1]', '"rows": [2]'))
    done = cli.run("order", "show", order["id"], "--results")
    assert "No node that the order was sealed to gave these answers: 0." in done.err


def test_an_order_whose_placing_was_cut_off_is_opened_by_the_keys_that_were_kept(
    shop: Shop, cli: Cli, tmp_path: Path
) -> None:
    shop.node("trusted")
    shop.verify("trusted")
    folder = tmp_path / "data" / "private"
    [other] = cli.json(*shop.place("--private"))["orders"]
    (folder / f"{other['id']}.json").rename(folder / "aa.1")
    shop.run()
    [order] = cli.json(*shop.place("--private"))["orders"]
    (folder / f"{order['id']}.json").rename(folder / "bb.1")
    (folder / "damaged.1").write_text("{")
    shop.run()
    shown = cli.json("order", "show", order["id"], "--results")
    assert shown["results"][0]["response"]["outputs"][0]["data"] == [2 * MARKER, 4.0]
    assert {path.name for path in folder.iterdir()} == {f"{order['id']}.json", "aa.1", "damaged.1"}


def test_keys_are_kept_while_nobody_knows_whether_the_order_was_placed(tmp_path: Path) -> None:
    keys = seal_order([(b"{}", 1)], SealedModel("m", 1, "00" * 32), {SealingKeyId(new_id()): KeyPair.new().public})[1]
    ready = Ready(WorkloadRequest("inference", "m", "medium", ()), keys)
    wired = Swarmex(Settings(data_folder=tmp_path), "postgresql://", "redis://127.0.0.1:1/0")  # it asks nobody

    def broken(error: SwarmexError) -> Callable[[WorkloadRequest], PlacedWorkload]:
        def place(_: WorkloadRequest) -> PlacedWorkload:
            raise error

        return place

    with pytest.raises(Invalid):
        ready.place(wired, broken(Invalid("refused")))
    assert list((tmp_path / "private").iterdir()) == []
    with pytest.raises(Unavailable):
        ready.place(wired, broken(Unavailable("gone", code="coordinator_unreachable")))
    assert len(list((tmp_path / "private").iterdir())) == 1


def test_without_a_verified_key_nothing_is_placed_or_kept(shop: Shop, cli: Cli, tmp_path: Path) -> None:
    shop.node("trusted")
    assert cli.refused(*shop.place("--private")) == ("no_verified_key", "private")
    key = shop.verify("trusted")
    stranger = "0123" + key["fingerprint"][4:]
    assert cli.refused(*shop.place("--private-to", stranger)) == ("no_verified_key", "private_to")
    assert cli.refused(*shop.place("--private-to", "x")) == ("invalid_fingerprint", "fingerprint")
    poor = cli.json("account", "create", "poor")
    refused = cli.refused(*(poor["id"] if word == "buyer" else word for word in shop.place("--private")))
    assert refused == ("insufficient_funds", "max_budget")
    wrong = body((1.0, 2.0)) | {"inputs": [{**body((1.0, 2.0))["inputs"][0], "name": "z"}]}
    assert cli.refused(*shop.place("--private", bodies=(wrong,))) == ("invalid_tensor", "inputs[0].name")
    both = shop.place("--private", "--workload", "batch", bodies=(SECRET_BODY, wrong))
    assert cli.refused(*both) == ("invalid_tensor", "requests[1].inputs[0].name")
    assert cli.json("order", "list") == []
    assert list((tmp_path / "data" / "private").iterdir()) == []
    assert "worst_case" in cli.json(*shop.place("--private", "--quote"))
    [order] = cli.json(*shop.place("--private-to", key["fingerprint"]))["orders"]
    assert order["needs"] == {"only": [str(key["node"])]}


def test_keys_are_listed_shown_verified_and_revoked_and_the_log_tells_who_did(shop: Shop, cli: Cli) -> None:
    shop.node("trusted")
    [listed] = cli.json("node", "sealing-key", "list", "--account", "provider")
    assert (listed["state"], listed["node_name"]) == ("proven", "trusted")
    assert cli.json("node", "sealing-key", "show", "trusted") == listed
    assert cli.json("node", "sealing-key", "show", listed["id"]) == listed
    wrong = ("--fingerprint", "0" * 32)
    assert cli.refused("node", "sealing-key", "verify", "trusted", *wrong) == ("fingerprint_differs", "fingerprint")
    assert cli.refused("node", "sealing-key", "verify", "nobody", *wrong) == ("unknown_node", "node")
    bare = shop.market.node("bare")
    assert cli.refused("node", "sealing-key", "show", bare.id) == ("unknown_sealing_key", "sealing_key")
    assert shop.verify("trusted")["verified_at"]
    again = ("verify", "trusted", "--fingerprint", listed["fingerprint"])
    assert cli.refused("node", "sealing-key", *again) == ("key_not_proven", "key")
    assert cli.json("node", "sealing-key", "revoke", "trusted")["state"] == "revoked"
    assert cli.refused("node", "sealing-key", "revoke", listed["id"]) == ("key_ended", "key")
    assert cli.json("node", "sealing-key", "list") == []
    [ended] = cli.json("node", "sealing-key", "list", "--ended")
    assert (ended["id"], ended["state"]) == (listed["id"], "revoked")
    told = [(entry.action, entry.subject) for entry in log.list_entries(shop.market.app.uow(), limit=2)]
    subject = f"sealing_key {listed['id']}"
    assert told == [("sealing_key.revoke", subject), ("sealing_key.verify", subject)]


def test_a_machines_own_keys_are_told_without_any_market(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "elsewhere"))
    assert cli.json("node", "sealing-key", "mine") == []
    assert not (tmp_path / "elsewhere").exists()
    folder = tmp_path / "elsewhere" / "cache" / "sealing"
    secret = KeyFolder(folder).make(NodeId(new_id()))
    [path] = folder.iterdir()
    assert (path.read_bytes(), oct(path.stat().st_mode)[-3:]) == (secret, "600")
    (folder / "no-id.key").write_bytes(b"x")
    (folder / f"{new_id()}.key").write_bytes(b"too short")
    [mine] = cli.json("node", "sealing-key", "mine")
    assert mine["node"] == path.stem


def test_of_many_who_make_a_nodes_key_at_once_all_have_the_same(tmp_path: Path) -> None:
    folder, node_id = KeyFolder(tmp_path), NodeId(new_id())
    first = folder.make(node_id)
    assert folder.make(node_id) == first
    path = tmp_path / f"{node_id}.key"
    os.truncate(path, 5)
    assert folder.secret(node_id) is None
    second = folder.make(node_id)
    assert second not in (None, first)
    folder.forget(node_id, first)
    assert folder.secret(node_id) == second
    folder.forget(node_id, second)
    assert folder.nodes() == []
