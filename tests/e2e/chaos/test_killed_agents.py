"""SIGKILL, for each kind of agent in turn."""

from collections.abc import Callable

import pytest

from backend.domain.fleet import AgentKind
from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.mark.parametrize(
    "kind", [AgentKind.PRICING, AgentKind.ALLOCATION, AgentKind.SETTLEMENT, AgentKind.INFERENCE], ids=str
)
def test_killed_it_is_replaced_and_nothing_is_lost_or_paid_twice(
    kind: AgentKind, arena: Arena, ended: Callable[[Arena], None]
) -> None:
    # The allocation agent is done with the orders long before the first of them ends.
    arena.flood(ORDERS)
    if kind is not AgentKind.ALLOCATION:
        arena.await_moment()
    arena.kill(kind)
    ended(arena)
    arena.await_fleet()


def test_while_the_manager_is_dead_the_rest_works_on_and_its_successor_adopts_them(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    before = {process.pid for kind in AgentKind for process in arena.members(kind).values()}
    arena.flood(ORDERS)
    arena.await_moment(latest=0.2)
    arena.kill(AgentKind.MANAGER)
    arena.await_moment(earliest=0.2, latest=0.4)
    arena.kill(AgentKind.INFERENCE)
    ended(arena)
    arena.start_manager()
    arena.await_fleet()
    after = {process.pid for kind in AgentKind for process in arena.members(kind).values()}
    assert len(before & after) == len(before) - 1
