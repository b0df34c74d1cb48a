"""A market whose API is served, and remote nodes as the test makes them join."""

from collections.abc import Iterator

import pytest

from tests.integration.api.once import application
from tests.integration.remote.nodes import Remote
from tests.market import Market
from tests.unit.api.serving import serving


@pytest.fixture
def remote(market: Market) -> Iterator[Remote]:
    """The market's API, and how to join it."""
    with serving(application(market.app)) as url:
        remote = Remote(market, url)
        yield remote
        remote.close()
