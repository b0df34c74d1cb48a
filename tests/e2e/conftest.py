"""Real agents as processes, on a database and a Redis of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.swarm import Swarm
from tests.own_redis import OwnRedis


@pytest.fixture
def swarm(database_url: str, node_database_url: str, namespace: str, tmp_path: Path) -> Iterator[Swarm]:
    """A market with its allocation and settlement agents running; inference agents are the test's to start."""
    redis = OwnRedis(tmp_path)
    redis.start()
    swarm = Swarm(database_url, node_database_url, redis, namespace, tmp_path)
    try:
        swarm.start("allocation")
        swarm.start("settlement")
        yield swarm
    finally:
        swarm.close()
        redis.kill()
