"""Starts agents as processes, and watches what they do to the database."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from backend.domain.orders import OrderState
from backend.storage.models import Model
from backend.storage.nodes import Node
from backend.storage.order_rows import Order
from tests.forked import Forked
from tests.market import Market
from tests.onnx_files import write_slow
from tests.own_redis import OwnRedis
from tests.waiting import PATIENCE_S

POLL_S = 0.05


class Swarm:
    """Agents of one market, by the names that the test gives them."""

    def __init__(
        self, database_url: str, node_database_url: str, redis: OwnRedis, namespace: str, folder: Path
    ) -> None:
        self.market = Market(database_url, node_database_url, redis.url, namespace, folder)
        self.redis = redis
        self.folder = folder
        self.processes: dict[str, Forked | subprocess.Popen[bytes]] = {}
        self._common = {
            "SWARMEX_REDIS_URL": redis.url,
            "SWARMEX_BUS_NAMESPACE": namespace,
            "SWARMEX_DATA_FOLDER": str(folder),
        }
        self._owner = self._common | {"SWARMEX_DATABASE_URL": database_url}
        self._node = self._common | {"SWARMEX_NODE_DATABASE_URL": node_database_url}

    def start(self, kind: str, *arguments: str, name: str | None = None) -> Forked:
        """Start an agent; its log is `<folder>/<name>.log`."""
        name = name or kind
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SWARMEX_")}
        urls = self._node if kind == "inference" else self._owner
        environment = clean | urls | {"SWARMEX_AGENT_NAME": name}
        agent = Forked("agents.__main__", (kind, *arguments), environment, self.folder / f"{name}.log")
        self.processes[name] = agent
        return agent

    def start_api(self) -> str:
        """Start an API on a free port; its address."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SWARMEX_")}
        environment = clean | self._owner | {"SWARMEX_API_PORT": "0"}
        self.processes["api"] = Forked("backend.api.__main__", (), environment, self.folder / "api.log")
        address = self.folder / "api.url"
        self.until(address.exists, "the API tells its address")
        return address.read_text().strip()

    def start_node(self, name: str, slots: int = 1) -> Node:
        """A node with an agent of its own, alive."""
        node = self.market.node(name, slots, pool=name)
        self.start("inference", "--pool", name, name=name)
        self.until(lambda: self.alive(name), f"{name} is alive")
        return node

    def slow_model(self, name: str, multiplications: int) -> Model:
        """A model each of whose runs takes about 3 ms a multiplication."""
        path = write_slow(self.folder / f"{name}.onnx", multiplications)
        return self.market.register(name, path)

    def alive(self, queue: str) -> bool:
        """Whether an agent of that pool has beaten in the last seconds."""
        found = self.query(
            "SELECT 1 FROM agents WHERE queue = :queue AND state = 'up' AND beat_at > now() - interval '2 s'",
            queue=f"pool.{queue}",
        )
        return bool(found)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to an agent and, for one that kills, wait for its end."""
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes[name].wait(PATIENCE_S)

    def until(self, holds: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until something holds; fails the test after `timeout_s` with the agents' last words."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {what}\n{self.last_words()}")
            time.sleep(POLL_S)

    def until_settled(self, *orders: Order) -> None:
        """Wait until all of these orders are settled."""
        ids = [order.id for order in orders]
        self.until(
            lambda: not self.query("SELECT 1 FROM orders WHERE id = ANY(:ids) AND state <> 'settled'", ids=ids),
            f"{len(orders)} orders are {OrderState.SETTLED}",
        )

    def query(self, statement: str, **binds: object) -> list[Any]:
        """Rows of the database as it is."""
        with self.market.app.engine.connect() as connection:
            return list(connection.execute(text(statement), binds))

    def last_words(self) -> str:
        """The ends of the agents' logs."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """Stop every agent and drop all connections."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(PATIENCE_S)
        self.market.close()
