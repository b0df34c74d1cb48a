"""A queue full of rubbish: each piece is refused with its reason, and the workers live on."""

from collections.abc import Callable

import pytest

from backend.domain.fleet import AgentKind
from backend.messaging.queues import pool_queue
from tests.e2e.chaos.arena import POOL, Arena
from tests.e2e.chaos.conftest import ORDERS
from tests.e2e.chaos.junk import REASONS, fill

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def test_thousands_of_bad_messages_are_refused_with_reasons_by_workers_that_live_on(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    workers = arena.members(AgentKind.INFERENCE)
    arena.flood(ORDERS)
    arena.await_moment(latest=0.3)
    count = fill(arena.servers.redis.url, pool_queue(POOL), arena.dice)
    arena.strike(f"{count} bad messages in the queue")
    ended(arena)

    def reasons() -> set[str]:
        return {row.reason for row in arena.query("SELECT DISTINCT reason FROM dead_letters WHERE kind = 'message'")}

    arena.until(lambda: reasons() == REASONS, f"there are letters of {sorted(REASONS)}")
    assert arena.members(AgentKind.INFERENCE) == workers
