"""What tests of services ask for by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.services import batch_placing
from tests.integration.services.batching import Batching
from tests.integration.services.earning import assert_audited
from tests.market import Market


@pytest.fixture
def books_in_order(market: Market) -> Iterator[None]:
    """The books are audited after the test, whatever it did."""
    yield
    assert_audited(market)


@pytest.fixture
def batching(market: Market, tmp_path: Path) -> Batching:
    """A market that takes files and batches."""
    return Batching(market, tmp_path)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of two items, two of them open at a time."""
    monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", 2)
    monkeypatch.setattr(batch_placing, "OPEN_ORDERS_MAX", 2)
