"""A market of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.market import Market
from tests.performance.history import copy_all
from tests.performance.order_path import OrderPath

BATCH = 10  # as orders come when few are placed at once: a unit of work for every few orders
BATCHES = 40
COPIES = 49


@pytest.fixture
def market(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[Market]:
    """A buyer with money, a provider, and twenty nodes with room for 1,000 orders at once."""
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path)
    for number in range(20):
        market.node(f"node-{number}", slots=50)
    yield market
    market.close()


@pytest.fixture
def path(market: Market) -> OrderPath:
    """The order path on a market with 20,000 settled orders."""
    path = OrderPath(market)
    for _ in range(BATCHES):
        path.beat()
        path.run(BATCH)
    copy_all(market.app.engine, COPIES)
    assert path.settled() == BATCH * BATCHES * (COPIES + 1) == 20_000
    return path
