"""Model files that spread from node to node: who is asked, what is believed, and what remains when nobody helps."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from agents import peers as peer_files
from agents.engines.onnx import OnnxEngine
from agents.inference import model_files
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from agents.peers import PeerFiles
from agents.work_port import DirectWorkPort
from backend.bootstrap import new_id, utc_now
from backend.domain.errors import ChecksumMismatch
from backend.domain.ids import AgentId
from backend.domain.nodes import NodeSpec
from backend.domain.peers import PEERS_MAX, Peer, file_token
from backend.domain.work import AGENT_LOST_S, AgentBeat, ModelRef
from backend.services import nodes
from backend.storage.nodes import MODEL_CACHED
from backend.storage.objects import ObjectStore
from tests.market import Market
from tests.onnx_files import reference_to, write_doubling
from tests.waiting import PATIENCE_S, until


class Nobody:
    """A registry without models: these servers only give files."""

    def models(self) -> list[ModelRef]:
        return []


class Giver:
    """A node's cache, and the server that gives its files away."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.cache = ModelCache(folder, store)
        self.server = OipServer(Catalogue(Nobody()), LoadedModels(self.cache, OnnxEngine()))  # type: ignore[arg-type]  # the one question
        self.server.start()
        assert self.server.wait_up(PATIENCE_S)

    def peer(self, model: ModelRef) -> Peer:
        return Peer(self.server.endpoint, file_token(self.server.token, model.checksum))

    def get(self, model: ModelRef, token: str | None = None, **headers: str) -> httpx.Response:
        shown = headers | {"Authorization": f"Bearer {token or self.peer(model).token}"}
        return httpx.get(f"{self.server.endpoint}/files/{model.checksum}", headers=shown, timeout=PATIENCE_S)


class Here:
    """A folder with a store, and what has to be stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ObjectStore((folder / "objects").as_uri())
        self.empty = ObjectStore((folder / "empty").as_uri())
        path = write_doubling(folder / "m.onnx")
        self.store.put_file(path, "models/m.onnx")
        self.model = reference_to(path)
        self.givers: list[Giver] = []

    def giver(self, *, has_it: bool = True) -> Giver:
        giver = Giver(self.folder / f"giver-{len(self.givers)}", self.store)
        self.givers.append(giver)
        if has_it:
            giver.cache.path_of(self.model)
        return giver

    def taker(self, *peers: Peer, store: ObjectStore | None = None, **options: Any) -> ModelCache:
        asked = PeerFiles(lambda _model: list(peers), **options)
        return ModelCache(self.folder / f"taker-{new_id()}", store or self.empty, asked)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path)
    yield here
    for giver in here.givers:
        giver.server.stop()


def forge(here: Here, giver: Giver, content: bytes | None = None) -> None:
    """Have a node give other bytes under the model's checksum."""
    file = giver.cache.file_of(here.model.checksum)
    assert file is not None
    file.write_bytes(content or write_doubling(here.folder / "forged.onnx", 3.0).read_bytes())


def test_a_file_that_the_store_has_lost_is_got_from_a_peer(here: Here) -> None:
    cache = here.taker(here.giver().peer(here.model))
    assert cache.path_of(here.model).read_bytes() == (here.folder / "m.onnx").read_bytes()
    assert (cache.fetches.from_peers, cache.fetches.from_store) == (1, 0)


def test_a_peer_that_lies_is_found_out_and_the_store_is_asked(here: Here) -> None:
    liar = here.giver()
    forge(here, liar)
    cache = here.taker(liar.peer(here.model), store=here.store)
    assert cache.path_of(here.model).read_bytes() == (here.folder / "m.onnx").read_bytes()
    assert (cache.fetches.from_peers, cache.fetches.from_store) == (0, 1)


def test_a_peer_that_lied_is_not_asked_again_for_a_while(here: Here) -> None:
    liar, now = here.giver(), [0.0]
    forge(here, liar)
    cache = here.taker(liar.peer(here.model), store=here.store, clock=lambda: now[0])
    cache.path_of(here.model).unlink()
    forge(here, liar, (here.folder / "m.onnx").read_bytes())
    cache.path_of(here.model).unlink()
    assert cache.fetches.from_peers == 0
    now[0] += peer_files.LIAR_S
    cache.path_of(here.model)
    assert cache.fetches.from_peers == 1


def test_of_several_peers_the_first_that_tells_the_truth_is_enough(here: Here) -> None:
    liar, without, honest = here.giver(), here.giver(has_it=False), here.giver()
    forge(here, liar)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = Peer(f"http://127.0.0.1:{port}", "any")
    cache = here.taker(liar.peer(here.model), away, honest.peer(here.model))
    assert cache.path_of(here.model).is_file()
    cache = here.taker(without.peer(here.model), honest.peer(here.model))
    assert cache.path_of(here.model).is_file()


def test_a_file_larger_than_any_model_may_be_is_not_taken_from_a_peer(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    giver = here.giver()
    forge(here, giver, b"x" * 300_000)
    monkeypatch.setattr("agents.model_cache.MODEL_BYTES_MAX", 200_000)
    cache = here.taker(giver.peer(here.model), store=here.store)
    assert cache.path_of(here.model).is_file()
    assert cache.fetches.from_store == 1


def test_when_nobody_knows_the_peers_the_store_is_asked(here: Here) -> None:
    def away(_model: object) -> list[Peer]:
        raise ConnectionError("away")

    cache = ModelCache(here.folder / "taker", here.store, PeerFiles(away))
    assert cache.path_of(here.model).is_file()


def test_a_peer_with_a_wrong_file_and_a_store_with_one_leave_nothing_behind(here: Here) -> None:
    liar = here.giver()
    forge(here, liar)
    forged = ObjectStore((here.folder / "forged").as_uri())
    forged.put_file(here.folder / "forged.onnx", "models/m.onnx")
    cache = here.taker(liar.peer(here.model), store=forged)
    with pytest.raises(ChecksumMismatch):
        cache.path_of(here.model)
    assert cache.file_of(here.model.checksum) is None


def test_a_file_is_given_for_its_own_token_only(here: Here) -> None:
    giver = here.giver()
    other = reference_to(write_doubling(here.folder / "other.onnx", 5.0))
    assert giver.get(here.model).content == (here.folder / "m.onnx").read_bytes()
    for token in (
        giver.server.token,
        file_token(giver.server.token, other.checksum),
        file_token("", here.model.checksum),
        "none",
    ):
        assert giver.get(here.model, token).status_code == 401
    assert giver.get(other).status_code == 404


def test_the_token_of_a_file_opens_nothing_else(here: Here) -> None:
    giver = here.giver()
    headers = {"Authorization": f"Bearer {giver.peer(here.model).token}"}
    assert httpx.get(f"{giver.server.endpoint}/v2", headers=headers).status_code == 401


def test_no_path_leads_out_of_the_cache(here: Here) -> None:
    giver = here.giver()
    for name in ("..%2f..%2fm", "%2e%2e", "x" * 64, here.model.checksum.upper(), f"{here.model.checksum}.onnx"):
        headers = {"Authorization": f"Bearer {file_token(giver.server.token, name)}"}
        assert httpx.get(f"{giver.server.endpoint}/files/{name}", headers=headers).status_code in (401, 404)


def test_a_part_of_a_file_is_given_as_http_has_it(here: Here) -> None:
    part = here.giver().get(here.model, Range="bytes=2-5")
    assert (part.status_code, part.content) == (206, (here.folder / "m.onnx").read_bytes()[2:6])


def test_only_so_many_files_are_given_at_once(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    giver = here.giver()
    monkeypatch.setattr(model_files, "SERVED_AT_ONCE_MAX", 0)
    refused = giver.get(here.model)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    monkeypatch.setattr(model_files, "SERVED_AT_ONCE_MAX", 1)
    for _ in range(3):
        until(lambda: giver.get(here.model).status_code == 200, "a place is given back")


class Region:
    """A market whose nodes have agents with endpoints, as many as are asked for."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def agent(
        self,
        pool: str,
        region: str = "north",
        *,
        leased: bool = True,
        endpoint: str | None = "http://a:1",
        token: str | None = None,
    ) -> AgentId:
        spec = NodeSpec(f"{pool}-{region}", "fog", region, 1, pool)
        node = nodes.register_node(self.market.app.uow(), utc_now(), self.market.provider.account_id, spec)
        if leased:
            with self.market.app.uow() as uow:
                uow.nodes.remember_models({(node.id, self.market.model.ref.model_id)}, utc_now())
                uow.commit()
        agent = AgentId(new_id())
        told = token or f"token of {pool}"
        beat = AgentBeat(agent, "inference", pool, "host", 1, f"pool.{pool}", endpoint, told)
        self.market.node_database.agent_beat(beat)
        return agent

    def peers_of(self, agent: AgentId) -> list[Peer]:
        port = DirectWorkPort(self.market.node_database, agent, self.market.app.bus)
        return port.peers(self.market.model.ref.model_id)

    def change(self, statement: str) -> None:
        with self.market.app.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.fixture
def region(market: Market) -> Region:
    return Region(market)


def test_a_node_learns_of_those_in_its_region_that_were_leased_for_the_model(region: Region) -> None:
    me = region.agent("me", leased=False)
    region.agent("with", endpoint="http://with:1")
    region.agent("without", leased=False)
    region.agent("elsewhere", "south")
    region.agent("undialled", endpoint=None)
    checksum = region.market.model.ref.checksum
    assert region.peers_of(me) == [Peer("http://with:1", file_token("token of with", checksum))]


def test_of_oneself_of_the_dead_and_of_those_who_leave_nobody_is_told(region: Region) -> None:
    me = region.agent("me")
    region.agent("other")
    assert len(region.peers_of(me)) == 1
    region.change("UPDATE agents SET state = 'draining' WHERE name = 'other'")
    assert region.peers_of(me) == []
    lost = f"state = 'up', beat_at = clock_timestamp() - interval '{AGENT_LOST_S} s'"
    region.change(f"UPDATE agents SET {lost} WHERE name = 'other'")
    assert region.peers_of(me) == []


def test_a_lease_of_long_ago_is_no_sign_of_a_file(region: Region) -> None:
    me = region.agent("me", leased=False)
    region.agent("other")
    nearly = MODEL_CACHED - timedelta(seconds=60)
    region.change(f"UPDATE node_models SET used_at = clock_timestamp() - interval '{nearly.total_seconds()} s'")
    assert len(region.peers_of(me)) == 1
    region.change(f"UPDATE node_models SET used_at = clock_timestamp() - interval '{MODEL_CACHED.total_seconds()} s'")
    assert region.peers_of(me) == []


def test_few_peers_are_told_and_a_stranger_learns_of_none(region: Region) -> None:
    me = region.agent("me", leased=False)
    for number in range(PEERS_MAX + 2):
        region.agent(f"p{number}", endpoint=f"http://p{number}:1")
    assert len(region.peers_of(me)) == PEERS_MAX
    assert region.peers_of(AgentId(new_id())) == []


def test_nothing_told_opens_more_than_the_file(region: Region) -> None:
    me = region.agent("me", leased=False)
    region.agent("other")
    [peer] = region.peers_of(me)
    assert "token of other" not in peer.token
    assert "token" not in repr(peer)


def test_an_agent_gets_what_the_store_has_lost_from_another_of_its_region(region: Region, here: Here) -> None:
    giver = Giver(here.folder / "giver", region.market.app.objects)
    here.givers.append(giver)
    giver.cache.path_of(region.market.model.ref)
    region.agent("giving", endpoint=giver.server.endpoint, token=giver.server.token)
    me = DirectWorkPort(region.market.node_database, region.agent("me", leased=False), region.market.app.bus)
    cache = ModelCache(here.folder / "mine", here.empty, PeerFiles(me.peers))
    assert LoadedModels(cache, OnnxEngine()).get(region.market.model.ref).joins
    assert (cache.fetches.from_peers, cache.fetches.from_store) == (1, 0)
