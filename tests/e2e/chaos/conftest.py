"""The suite's servers, one arena a test, and a report of what every fault cost.

`make chaos` runs all of it (`--chaos`). Without that option only the short form is there: it is part of every run.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.servers import BreakableServers
from tests.recoveries import PROPERTY

SEED = "1"
SHORT = "test_short.py"
ORDERS = 2_000


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos", action="store_true", help="run the whole chaos suite, not its short form only")
    group.addoption("--chaos-seed", default=SEED, metavar="SEED", help=f"what the dice start from (default {SEED})")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long form out unless it is asked for."""
    if config.getoption("chaos", default=False):
        return
    here = Path(__file__).parent
    long = [item for item in items if item.path.parent == here and item.path.name != SHORT]
    if long:
        items[:] = [item for item in items if item not in set(long)]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session")
def servers() -> Iterator[BreakableServers]:
    """PostgreSQL and Redis that nobody else uses."""
    with BreakableServers() as servers:
        yield servers


@pytest.fixture
def open_arena(
    servers: BreakableServers, tmp_path: Path, namespace: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Arena]]:
    """Opens the test's arena, with settings of its own if it has any."""
    arenas: list[Arena] = []

    def opened(**settings: object) -> Arena:
        arena = Arena(servers, tmp_path, namespace, f"{_seed(request.config)}:{request.node.name}", **settings)
        arenas.append(arena)
        arena.open()
        return arena

    yield opened
    for arena in arenas:
        arena.close()


@pytest.fixture
def arena(open_arena: Callable[..., Arena]) -> Arena:
    """A market that runs."""
    return open_arena()


@pytest.fixture
def ended(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[[Arena], None]:
    """Waits until all has ended well, and tells what it took."""

    def done(arena: Arena) -> None:
        record_property(PROPERTY, f"seed {_seed(request.config)}: {arena.await_ended()}")

    return done


def _seed(config: pytest.Config) -> str:
    return str(config.getoption("chaos_seed", default=SEED))
