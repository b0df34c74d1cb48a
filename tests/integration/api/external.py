"""A node of another market that stands for one of ours, and the agent that asks it; in the test's own process."""

import hashlib
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.base import Identity
from agents.engines.onnx import OnnxEngine
from agents.external.agent import ExternalAgent
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.ids import AccountId, AgentId, ModelId, NodeId
from backend.domain.nodes import NodeSpec
from backend.domain.tensors import Signature, TensorSpec
from backend.domain.work import ModelRef
from backend.services import allocation, external_nodes, holds, pricing, relay, settlement, sweeper
from backend.storage.objects import ObjectStore
from tests.integration.api.supply import ASK_NANO, write_model
from tests.waiting import PATIENCE_S, until

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),))
TICK_S = 0.05


class ElsewhereRegistry:
    """What the other market has registered."""

    def __init__(self, *models: ModelRef) -> None:
        self._models = models

    def models(self) -> list[ModelRef]:
        return list(self._models)


class Elsewhere:
    """One of our own nodes, of another market, that serves model `scale`; it can die and come back at its port."""

    def __init__(self, folder: Path, name: str = "scale") -> None:
        self._store = ObjectStore((folder / "objects").as_uri())
        self._folder = folder
        path = write_model(folder / "scale.onnx")
        self._store.put_file(path, "models/scale.onnx")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        self._model = ModelRef(ModelId(new_id()), name, 1, checksum, "models/scale.onnx", SIGNATURE)
        self._token = secrets.token_urlsafe(16)
        self._server: OipServer | None = None
        self._port = 0
        self.revive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()

    @property
    def url(self) -> str:
        """Where it is."""
        assert self._server is not None
        return self._server.endpoint

    @property
    def credential(self) -> str:
        """What opens it."""
        return self._token

    @property
    def answered(self) -> int:
        """Requests that it has run since it is up."""
        assert self._server is not None
        return self._server.batches.requests

    def die(self) -> None:
        """Nobody listens any more when this returns."""
        if self._server is not None:
            self._server.stop(0.0)

    def revive(self) -> None:
        """The same again."""
        models = LoadedModels(ModelCache(self._folder / "cache", self._store), OnnxEngine())
        catalogue = Catalogue(ElsewhereRegistry(self._model))  # type: ignore[arg-type]  # the one question
        catalogue.refresh(0.0)  # as its agent does all the time
        self._server = OipServer(catalogue, models, port=self._port)
        self._server.token = self._token
        self._port = int(self._server.endpoint.rpartition(":")[2])
        self._server.start()
        assert self._server.wait_up(PATIENCE_S)


class Adapter:
    """The external agent, and a loop that clears, sends, settles and sweeps, until the block ends."""

    def __init__(self, market: Swarmex) -> None:
        self.market = market
        self.agent = ExternalAgent(Identity.of_this_process(AgentId(new_id()), "external-0"), market)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._tick, self._allocate)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.agent.drained()

    def add(
        self,
        owner: AccountId,
        url: str,
        credential: str | None = None,
        *,
        name: str = "triton",
        region: str = "eu-1",
        ask_nano: int = ASK_NANO,
        slots: int = 4,
    ) -> NodeId:
        """Register a server with an offer, as the operator does."""
        spec = NodeSpec(name, "cloud", region, slots)
        uow = self.market.uow()
        return external_nodes.add_server(uow, utc_now(), owner, spec, url, credential, ask_nano).node.id

    def shown(self, node_id: NodeId) -> external_nodes.ServerNode:
        """The node as it is listed now."""
        listed = external_nodes.list_servers(self.market.uow(), utc_now(), None)
        return next(one for one in listed if one.node.id == node_id)

    def online(self, node_id: NodeId, models: int = 1) -> None:
        """Wait until the node lives and serves so many models."""

        def is_so() -> bool:
            shown = self.shown(node_id)
            return shown.node.alive and len(shown.server.models) == models

        until(is_so, "the node is online")
        pricing.reprice(self.market.uow(), utc_now())

    def offline(self, node_id: NodeId) -> None:
        """Wait until it does not live any more."""

        def is_so() -> bool:
            node = self.market.uow()
            with node:
                found = node.nodes.find(node_id, utc_now())
            return found is not None and not found.alive

        until(is_so, "the node is offline")

    def _tick(self) -> None:
        while not self._stopped.wait(TICK_S):
            self.agent.tick(utc_now())

    def _allocate(self) -> None:
        uow = self.market.uow
        while not self._stopped.wait(TICK_S):
            epoch = allocation.clear_markets(uow, utc_now())
            holds.lower(uow(), utc_now(), epoch.leased)
            relay.relay(uow(), utc_now(), lambda _: None)
            settlement.settle_finished(uow(), utc_now())
            sweeper.sweep(uow(), utc_now())
