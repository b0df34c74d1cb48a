"""Redis is disposable: emptied, killed or hanging, it takes nothing along."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

AWAY_S = 10.0


def test_emptied_three_times_it_has_lost_nothing(arena: Arena, ended: Callable[[Arena], None]) -> None:
    arena.flood(ORDERS)
    for earliest in (0.0, 0.2, 0.4):
        arena.await_moment(earliest, earliest + 0.2)
        arena.strike("Redis emptied")
        arena.servers.redis.empty()
    ended(arena)


def test_gone_for_ten_seconds_with_all_that_it_knew(arena: Arena, ended: Callable[[Arena], None]) -> None:
    arena.flood(ORDERS)
    arena.await_moment(latest=0.3)
    arena.strike(f"Redis gone for {AWAY_S:.0f} s")
    arena.servers.redis.kill()
    time.sleep(AWAY_S)
    arena.servers.redis.start()
    ended(arena)
    arena.await_fleet()


def test_hanging_for_ten_seconds_with_its_connections_open(arena: Arena, ended: Callable[[Arena], None]) -> None:
    arena.flood(ORDERS)
    arena.await_moment(latest=0.3)
    arena.strike(f"Redis frozen for {AWAY_S:.0f} s")
    arena.servers.redis.freeze()
    time.sleep(AWAY_S)
    arena.servers.redis.thaw()
    ended(arena)
    arena.await_fleet()
