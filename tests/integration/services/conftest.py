"""What tests of services ask for by name."""

from collections.abc import Iterator

import pytest

from tests.integration.services.earning import assert_audited
from tests.market import Market


@pytest.fixture
def books_in_order(market: Market) -> Iterator[None]:
    """The books are audited after the test, whatever it did."""
    yield
    assert_audited(market)
