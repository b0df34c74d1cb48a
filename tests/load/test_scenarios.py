"""The market under load answers every request with what its user may expect."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.services import audit
from tests.load import scenarios
from tests.performance.system import System, running

USERS = 10
SECONDS = 3

pytestmark = [pytest.mark.load, pytest.mark.slow]


@pytest.fixture
def system(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[System]:
    """A market with all of its processes."""
    with running(database_url, node_database_url, redis_url, namespace, tmp_path) as system:
        yield system


def test_no_scenario_has_an_unexpected_failure_and_the_books_balance_after_each(
    system: System, subtests: pytest.Subtests
) -> None:
    for name in scenarios.NAMES:
        with subtests.test(name):
            assert scenarios.run(name, system.url, system.key, USERS, SECONDS) == 0
            assert audit.audit_ledger(system.market.app.uow()).ok


def test_a_market_that_does_not_answer_is_a_failure() -> None:
    assert scenarios.run("realtime_infer", "http://127.0.0.1:9", "key", users=1, seconds=1) == 1


def test_load_goes_nowhere_but_to_this_machine() -> None:
    with pytest.raises(ValueError, match="not on this machine"):
        scenarios.run("place_orders", "http://192.0.2.1:8080", "key", USERS, SECONDS)
