"""A market, a Redis server, and consumers, of its own for every test that asks for one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.messaging.queues import pool_queue
from tests.integration.workers import Worker
from tests.market import Market
from tests.own_redis import OwnRedis


@pytest.fixture
def market(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[Market]:
    """A buyer with 1,000 credits, a provider without nodes yet, and a model that doubles."""
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path / "data")
    yield market
    market.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis server that the test may kill, freeze and empty."""
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def queue(namespace: str) -> str:
    """A queue that no other test uses."""
    return pool_queue(namespace)


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Starts consumers; each must stop when it is told to."""
    workers: list[Worker] = []

    def start(*args: object, **options: object) -> Worker:
        workers.append(Worker(*args, **options))  # type: ignore[arg-type]  # passed through
        return workers[-1]

    yield start
    for worker in workers:
        assert worker.stop()
