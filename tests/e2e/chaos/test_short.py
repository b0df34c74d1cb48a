"""The short form: one flight of orders, and one fault after the other in the order that the dice choose."""

from collections.abc import Callable

import pytest

from backend.domain.fleet import AgentKind
from tests.e2e.chaos.arena import Arena

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

ORDERS = 1_500
LAST_AT = 0.8  # the last fault strikes when so many of the orders have ended


def test_one_fault_after_the_other_loses_no_order_and_pays_none_twice(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    faults: list[Callable[[], object]] = [
        lambda: arena.kill(AgentKind.INFERENCE),
        lambda: arena.kill(AgentKind.SETTLEMENT),
        lambda: new_manager(arena),
        lambda: emptied(arena),
        lambda: crashed(arena),
    ]
    arena.dice.shuffle(faults)
    arena.flood(ORDERS)
    for number, fault in enumerate(faults):
        earliest = LAST_AT * number / len(faults)
        arena.await_moment(earliest, earliest + LAST_AT / len(faults))
        fault()
    ended(arena)
    arena.await_fleet()


def new_manager(arena: Arena) -> None:
    """Kill the manager and start its successor."""
    arena.kill(AgentKind.MANAGER)
    arena.start_manager()


def emptied(arena: Arena) -> None:
    """Kill Redis, and bring it back with nothing in it."""
    arena.strike("Redis restarted empty")
    arena.servers.redis.kill()
    arena.servers.redis.start()


def crashed(arena: Arena) -> None:
    """Crash PostgreSQL, and bring it back."""
    arena.strike("PostgreSQL crashed")
    arena.servers.crash_postgres()
    arena.servers.restart_postgres()
