"""A market, and what an inference agent is made of, for every test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.model_cache import ModelCache
from agents.work_port import DirectWorkPort
from backend.bootstrap import new_id
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from tests.integration.agents.processes import AgentProcess, Start, deployment
from tests.market import Market


class Node:
    """The working parts of an inference agent of a pool, without its process."""

    def __init__(self, market: Market, folder: Path, pool: str = "pool") -> None:
        self.agent_id = AgentId(new_id())
        self.port = DirectWorkPort(market.node_database, self.agent_id, market.app.bus)
        self.models = LoadedModels(ModelCache(folder / "cache", market.app.objects), OnnxEngine())
        self.claims = ClaimKeeper(self.port, every_s=0.2)
        self.runner = UnitRunner(self.port, self.models, self.claims)
        self._queue = f"pool.{pool}"
        market.keep_alive(self.beat)

    def beat(self) -> None:
        """A sign of life, good for three seconds."""
        beat = AgentBeat(self.agent_id, "inference", "test", "host", 1, self._queue, "http://127.0.0.1:1", "t")
        self.port.beat(beat)


@pytest.fixture
def node(market: Market, tmp_path: Path) -> Iterator[Node]:
    """An executor of pool `pool` that keeps its claims alive."""
    node = Node(market, tmp_path)
    node.claims.start()
    yield node
    node.claims.stop()


@pytest.fixture
def start(market: Market, node_database_url: str) -> Iterator[Start]:
    """Starts agents as processes; what still runs is killed at the end."""
    started: list[AgentProcess] = []

    def start(*arguments: str, metrics_port: int | None = None) -> AgentProcess:
        shared = deployment(market, node_database_url)
        started.append(AgentProcess(shared, *arguments, metrics_port=metrics_port))
        return started[-1]

    yield start
    for agent in started:
        agent.stop(signal.SIGKILL)
