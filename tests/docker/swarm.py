"""A market whose processes are containers, and waiting for what they do."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from tests.docker.containers import Container, exit_codes, stop
from tests.market import Market
from tests.waiting import PATIENCE_S

POLL_S = 0.1
OBJECTS = "/var/lib/swarmex/objects"


class ContainerSwarm:
    """Starts processes of the image for one market."""

    def __init__(
        self, image: str, market: Market, database_url: str, node_database_url: str, redis_url: str, namespace: str
    ) -> None:
        self.market = market
        self.containers: list[Container] = []
        self._image = image
        common = {"SWARMEX_REDIS_URL": redis_url, "SWARMEX_BUS_NAMESPACE": namespace}
        self._owner = common | {"SWARMEX_DATABASE_URL": database_url}
        self._node = common | {"SWARMEX_NODE_DATABASE_URL": node_database_url}

    def start(self, *command: str, **environment: str) -> Container:
        """Start a process with the operator's rights."""
        return self._start(command, self._owner | environment)

    def start_inference(self, pool: str) -> Container:
        """Start an inference agent, which reads model files and knows the nodes' role only."""
        files = self.market.app.folder / "objects"
        files.mkdir(exist_ok=True)
        mount = f"type=bind,source={files},target={OBJECTS},readonly"
        return self._start(("agents", "inference", "--pool", pool), self._node, ("--mount", mount))

    def agents(self) -> dict[str, str]:
        """Endpoint ("" without one) of every agent that is up and has beaten lately, by kind."""
        rows = self.query("SELECT kind, endpoint FROM agents WHERE state = 'up' AND beat_at > now() - interval '2 s'")
        return {row.kind: row.endpoint or "" for row in rows}

    def query(self, statement: str, **binds: object) -> list[Any]:
        """Rows of the database as it is."""
        with self.market.app.engine.connect() as connection:
            return list(connection.execute(text(statement), binds))

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds; fails after PATIENCE_S with the containers' last words."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                logs = "\n".join(container.logs() for container in self.containers)
                raise AssertionError(f"not within {PATIENCE_S} s: {what}\n{logs}")
            time.sleep(POLL_S)

    def stop(self) -> tuple[float, dict[str, int]]:
        """Stop all at once: the seconds that it took, and exit codes by command."""
        return stop(*self.containers), exit_codes(*self.containers)

    def close(self) -> None:
        """Remove every container and drop all connections."""
        for container in self.containers:
            container.remove()
        self.market.close()

    def _start(self, command: tuple[str, ...], environment: dict[str, str], options: tuple[str, ...] = ()) -> Container:
        container = Container(self._image, *command, environment=environment, options=options)
        self.containers.append(container)
        return container
