"""A server for the bus, and a bus on it: each test that asks for them runs once on Redis and once on the twin."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.messaging.ports import EventBus
from tests.integration.messaging.servers import RedisServer, Server, TwinServer

NAMESPACE = "swarm"


@pytest.fixture(params=["redis", "memory"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, running."""
    if request.param == "memory":
        yield TwinServer()
        return
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.end()


@pytest.fixture
def bus(server: Server) -> Iterator[EventBus]:
    """A bus on it."""
    bus = server.bus(NAMESPACE)
    yield bus
    bus.close()
