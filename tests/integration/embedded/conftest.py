"""Data folders whose servers end with the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.embedded.servers import data_folder


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A data folder that the tests of a file share: each brings its servers up, or finds them down."""
    yield from data_folder()


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A data folder of the test's own."""
    yield from data_folder()
