"""PostgreSQL crashes and recovers: what was committed is there, and what was not has had no effect."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

AWAY_S = 3.0


def test_a_crash_in_mid_flight_cuts_everybody_off_and_nothing_is_lost(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    arena.flood(ORDERS)
    arena.await_moment(latest=0.3)
    arena.strike("PostgreSQL crashed and restarted")
    arena.servers.crash_postgres()
    arena.servers.restart_postgres()
    arena.await_moment(earliest=0.3, latest=0.6)
    arena.strike(f"crashed again, gone for {AWAY_S:.0f} s")
    arena.servers.crash_postgres()
    time.sleep(AWAY_S)
    arena.servers.restart_postgres()
    ended(arena)
    arena.await_fleet()
