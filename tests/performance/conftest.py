"""A market of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.market import Market


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
