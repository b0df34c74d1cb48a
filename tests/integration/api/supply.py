"""The other side of the market for a test: a node with a real inference server, and a clearing loop."""

import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import onnx
from onnx import TensorProto, helper

from agents.engines.onnx import OnnxEngine
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.model_cache import ModelCache
from agents.oip_server import OipServer
from agents.work_port import DirectWorkPort
from backend.bootstrap import Swarmex, connect_node, new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, AgentId
from backend.domain.nodes import NodeSpec
from backend.domain.work import AgentBeat
from backend.services import allocation, fleet, holds, nodes, pricing
from backend.storage.node_database import NodeDatabase
from tests.waiting import PATIENCE_S

ASK_NANO = 1_000_000
SLOTS = 4
BEAT_S = 0.5
CLEAR_S = 0.01


def write_model(path: Path) -> Path:
    """An ONNX file that doubles rows of four numbers: input `x`, output `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "scale", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def node_functions(market: Swarmex) -> NodeDatabase:
    """What nodes may call, called by the owner of the database."""
    return connect_node(market.settings.model_copy(update={"node_database_url": market.database_url}))


class Supply:
    """A node that beats, serves and is allocated, until the block ends."""

    def __init__(
        self, market: Swarmex, provider: AccountId, folder: Path, region: str = "eu-1", kind: str = "cloud"
    ) -> None:
        self.market = market
        owner = Principal(None, provider, Role.PROVIDER)
        spec = NodeSpec(f"node-{region}", kind, region, SLOTS)
        self.node = nodes.register_node(market.uow(), utc_now(), provider, spec)
        nodes.offer(market.uow(), utc_now(), self.node.id, ASK_NANO, owner)
        port = DirectWorkPort(node_functions(market), AgentId(new_id()), market.bus)
        self.server = OipServer(Catalogue(port), LoadedModels(ModelCache(folder, market.objects), OnnxEngine()))
        self.agent_id = AgentId(new_id())
        self.endpoint = self.server.endpoint
        self.clearing = threading.Event()
        self.clearing.set()
        self.alive = threading.Event()
        self.alive.set()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._beat, self._clear)]

    def __enter__(self) -> Self:
        self.server.start()
        assert self.server.wait_up(PATIENCE_S)
        self.beat()
        pricing.reprice(self.market.uow(), utc_now())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.server.stop()

    def pause(self) -> None:
        """Neither beat nor clear from now on: the database is about to go away."""
        self.alive.clear()
        self.clearing.clear()
        time.sleep(2 * CLEAR_S)

    def beat(self) -> None:
        """One sign of life of the node's agent."""
        sign = AgentBeat(
            self.agent_id,
            "inference",
            "node",
            socket.gethostname(),
            os.getpid(),
            self.node.queue,
            self.endpoint,
            self.server.token,
        )
        fleet.beat(self.market.uow(), utc_now(), sign)

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_S):
            if self.alive.is_set():
                self.beat()

    def _clear(self) -> None:
        while not self._stopped.wait(CLEAR_S):
            if self.clearing.is_set():
                epoch = allocation.clear_markets(self.market.uow, utc_now())
                holds.lower(self.market.uow(), utc_now(), epoch.leased)
